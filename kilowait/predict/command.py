"""`kilowait predict FILE...`: what a script will take on each device type, before it runs.

Nothing heavy loads before the sources have been read and checked: torch and the language model take a second.
"""

import argparse
import gc
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.errors import InputError
from kilowait.jobs import JOULES_PER_KWH, Prediction, Provenance
from kilowait.source import MAX_SOURCE_BYTES, Source, read_source, source_from_bytes

if TYPE_CHECKING:
    from kilowait.predict.bundle import Bundle
    from kilowait.predict.predictor import SourceEmbedder

EXAMPLE = """\
examples:
  kilowait predict train.py
  kilowait predict train.py evaluate.py --device cpu-1 --json
  cat train.py | kilowait predict -

Each number is modelled: a probe reads it off the source's embedding. The table ends with the probe's version and
with how the labels it learnt from were had: an energy learnt from estimates is no better than those.
"""
STDIN = "-"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `kilowait predict`."""
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("files", nargs="+", metavar="FILE", help="a program's source; - reads standard input")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="probes to use (default: those of this package)")
    parser.add_argument("--device", action="append", metavar="TYPE", help="show this device type only; may be repeated")
    parser.add_argument(
        "--threads", type=int, default=2, metavar="N", help="threads of the language model (default: 2)"
    )


def run(args: argparse.Namespace) -> int:
    """Predict for every file and print; raises InputError for a source or device type that is refused."""
    if args.threads < 1:
        raise InputError(f"--threads must be >= 1, got {args.threads}")
    sources = _read(args.files)
    with _without_collection():
        report = _predict(sources, args)
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if args.json else _as_text(report))
    return 0


@contextmanager
def _without_collection() -> Iterator[None]:
    """Spare one short-lived process the search for garbage in what it imports: half a second of three."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _predict(sources: Sequence[Source], args: argparse.Namespace) -> dict[str, Any]:
    from kilowait.predict import bundle as bundles
    from kilowait.predict.predictor import Predictor

    bundle = bundles.load(args.bundle) if args.bundle else bundles.load_default()
    devices = _devices(args.device, bundle.device_types)
    predictor = Predictor(bundle, _embedder(bundle, args.threads))
    results = [(source, predictor.predict(source)) for source in sources]
    return _report(results, devices, bundle)


def _read(files: Sequence[str]) -> list[Source]:
    if files.count(STDIN) > 1:
        raise InputError("standard input can be read once: give - once")
    return [_read_stdin() if name == STDIN else read_source(name) for name in files]


def _read_stdin() -> Source:
    return source_from_bytes("stdin", sys.stdin.buffer.read(MAX_SOURCE_BYTES + 1))


def _devices(asked: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    for name in asked or ():
        if name not in known:
            raise InputError(f"--device {name}: the probes know {', '.join(known)}")
    return [name for name in known if not asked or name in asked]


def _embedder(bundle: "Bundle", threads: int) -> "SourceEmbedder":
    """The language model as deep as the probes read it."""
    from kilowait.predict.embedding import Embedder
    from kilowait.predict.language_model import load_language_model

    model = load_language_model(bundle.features[0].model, depth=max(feature.layer for feature in bundle.features))
    return Embedder(model, threads=threads)


def _report(
    results: Sequence[tuple[Source, dict[str, Prediction]]], devices: Sequence[str], bundle: "Bundle"
) -> dict[str, Any]:
    """Everything there is to show, as JSON would have it."""
    return {
        "probe_version": bundle.version,
        "features": [feature.key for feature in bundle.features],
        "provenance": Provenance.MODELLED,
        "label_provenance": {metric: dict(part.provenance) for metric, part in bundle.metrics.items()},
        "predictions": [
            {
                "file": source.name,
                "content_hash": source.content_hash,
                "request": _request(source),
                "devices": {device: _numbers(by_device[device]) for device in devices},
            }
            for source, by_device in results
        ],
    }


def _numbers(prediction: Prediction) -> dict[str, float]:
    energy_j = prediction.energy_kwh * JOULES_PER_KWH
    return {"runtime_s": prediction.runtime_s, "energy_j": energy_j, **prediction.other}


def _request(source: Source) -> dict[str, Any]:
    """What the source itself says about GPUs."""
    from kilowait.resources import read_request

    request = read_request(source.text)
    types = None if request.gpu_types is None else sorted(request.gpu_types)
    return {"gpus": request.gpus, "gpu_types": types, "evidence": list(request.evidence)}


def _as_text(report: dict[str, Any]) -> str:
    blocks = [_block(entry) for entry in report["predictions"]]
    learnt = "; ".join(
        f"{metric} from {', '.join(f'{how} ({device})' for device, how in provenance.items())} labels"
        for metric, provenance in report["label_provenance"].items()
    )
    foot = f"probe {report['probe_version']} on {' + '.join(report['features'])}\nall numbers are modelled: {learnt}\n"
    return "\n".join([*blocks, foot])


def _block(entry: dict[str, Any]) -> str:
    """One file's table."""
    metrics = list(next(iter(entry["devices"].values())))
    head = ["device type", *metrics]
    body = [[device, *(f"{numbers[m]:.4g}" for m in metrics)] for device, numbers in entry["devices"].items()]
    widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
    lines = [entry["file"], _request_line(entry["request"])]
    lines += ["  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)) for row in (head, *body)]
    return "\n".join(lines) + "\n"


def _request_line(request: dict[str, Any]) -> str:
    types = ", ".join(request["gpu_types"] or ()) or "any type"
    return f"  asks for {request['gpus']} GPU(s) of {types} ({'; '.join(request['evidence'])})"

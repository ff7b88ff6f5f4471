"""`kilowait predict FILE... [-- ARGUMENTS]`: what a job will take on each device type, before it runs.

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
from kilowait.program.job_source import JobSource
from kilowait.program.read import Submission, read_file, read_program, read_stdin

if TYPE_CHECKING:
    from kilowait.predict.bundle import Bundle
    from kilowait.predict.predictor import SourceEmbedder

EXAMPLE = """\
examples:
  kilowait predict train.py
  kilowait predict train.py evaluate.py --device cpu-1 --json
  cat train.py | kilowait predict -
  kilowait predict train.py -- --epochs 300 --lr 1e-3
  kilowait predict --entrypoint train.py my_project/ -- --config conf.yaml
  kilowait predict --entrypoint train.py my_project.zip

What follows -- are the script's own arguments. With --entrypoint each FILE is a folder or a zip: the local modules
that the entrypoint imports and the configuration files that code or arguments name are part of the job; the rest is
left out and listed. Environment variables are no part of it.

Each number is modelled: a probe reads it off the source's embedding. The table ends with the probe's version and
with how the labels it learnt from were had: an energy learnt from estimates is no better than those.
"""
STDIN = "-"
_SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `kilowait predict`."""
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("files", nargs="+", metavar="FILE", help="a program's source; - reads standard input")
    parser.add_argument("--entrypoint", metavar="PATH", help="FILE is a folder or a zip, and PATH in it is started")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="probes to use (default: those of this package)")
    parser.add_argument("--device", action="append", metavar="TYPE", help="show this device type only; may be repeated")
    parser.add_argument(
        "--threads", type=int, default=2, metavar="N", help="threads of the language model (default: 2)"
    )
    parser.set_defaults(arguments=[])


def run(args: argparse.Namespace) -> int:
    """Predict for every file and print; raises InputError for a source or device type that is refused."""
    if args.threads < 1:
        raise InputError(f"--threads must be >= 1, got {args.threads}")
    submissions = _read(args)
    with _without_collection():
        report = _predict(submissions, args)
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


def _predict(submissions: Sequence[Submission], args: argparse.Namespace) -> dict[str, Any]:
    from kilowait.predict import bundle as bundles
    from kilowait.predict.predictor import Predictor
    from kilowait.program.text import as_source

    bundle = bundles.load(args.bundle) if args.bundle else bundles.load_default()
    devices = _devices(args.device, bundle.device_types)
    predictor = Predictor(bundle, _embedder(bundle, args.threads))
    results = [(given, predictor.predict(as_source(given.source, given.name))) for given in submissions]
    return _report(results, devices, bundle)


def _read(args: argparse.Namespace) -> list[Submission]:
    if args.files.count(STDIN) > 1:
        raise InputError("standard input can be read once: give - once")
    if args.entrypoint is None:
        return [read_stdin(args.arguments) if f == STDIN else read_file(f, args.arguments) for f in args.files]
    if STDIN in args.files:
        raise InputError("--entrypoint is for folders and zips; standard input (-) is one script")
    return [read_program(file, args.entrypoint, args.arguments) for file in args.files]


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
    results: Sequence[tuple[Submission, dict[str, Prediction]]], devices: Sequence[str], bundle: "Bundle"
) -> dict[str, Any]:
    """Everything there is to show, as JSON would have it."""
    return {
        "probe_version": bundle.version,
        "features": [feature.key for feature in bundle.features],
        "provenance": Provenance.MODELLED,
        "label_provenance": {metric: dict(part.provenance) for metric, part in bundle.metrics.items()},
        "predictions": [
            {
                **_described(given),
                "request": _request(given.source),
                "devices": {device: _numbers(by_device[device]) for device in devices},
            }
            for given, by_device in results
        ],
    }


def _described(given: Submission) -> dict[str, Any]:
    """What was read, as it was understood."""
    from kilowait.program.effect import arguments_in_effect
    from kilowait.program.text import texts

    effect = arguments_in_effect(given.source) if given.source.arguments else {}
    return {
        "file": given.name,
        "content_hash": given.source.content_hash,
        "arguments": list(given.source.arguments),
        "arguments_in_effect": {
            name: {"value": e.value, "evidence": e.evidence, "where": e.where} for name, e in effect.items()
        },
        "files": list(texts(given.source)),
        "left_out": dict(given.left_out),
        "notes": list(given.notes),
    }


def _numbers(prediction: Prediction) -> dict[str, float]:
    energy_j = prediction.energy_kwh * JOULES_PER_KWH
    return {"runtime_s": prediction.runtime_s, "energy_j": energy_j, **prediction.other}


def _request(source: JobSource) -> dict[str, Any]:
    """What the source and its arguments say about GPUs."""
    from kilowait.program.text import texts
    from kilowait.resources import read_request

    request = read_request(texts(source), source.arguments)
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
    lines = [" ".join([entry["file"], *entry["arguments"]]), *_files_lines(entry), _request_line(entry["request"])]
    lines += ["  " + "  ".join(f"{cell:>{w}}" for cell, w in zip(row, widths, strict=True)) for row in (head, *body)]
    return "\n".join(lines) + "\n"


def _files_lines(entry: dict[str, Any]) -> list[str]:
    """The files read where there are several, the first of those left out, what the arguments mean, and notes."""
    lines = [f"  files: {', '.join(entry['files'])}"] if len(entry["files"]) > 1 else []
    if entry["left_out"]:
        some = [f"{path} ({why})" for path, why in list(entry["left_out"].items())[:_SHOWN]]
        more = len(entry["left_out"]) - len(some)
        lines.append(f"  left out: {'; '.join(some)}" + (f"; {more} more, in --json" if more else ""))
    if entry["arguments_in_effect"]:
        values = (f"{name}={e['value']} ({e['evidence']})" for name, e in entry["arguments_in_effect"].items())
        lines.append(f"  arguments in effect: {', '.join(values)}")
    return [*lines, *(f"  note: {note}" for note in entry["notes"])]


def _request_line(request: dict[str, Any]) -> str:
    types = ", ".join(request["gpu_types"] or ()) or "any type"
    return f"  asks for {request['gpus']} GPU(s) of {types} ({'; '.join(request['evidence'])})"

"""`kilowait predict FILE... [-- ARGUMENTS]`: what a job will take on each device type, before it runs.

Nothing heavy loads before the sources have been read and checked: torch and the language model take a second.
"""

import argparse
import gc
import json
import math
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.cli.predict_text import as_text
from kilowait.core.errors import InputError
from kilowait.core.extras import require
from kilowait.core.hardware import CATALOGUE, canonical
from kilowait.core.jobs import Provenance
from kilowait.core.units import JOULES_PER_KWH
from kilowait.predict.dry_runs import BUDGET_S, WAITING, DryRuns
from kilowait.program.job_source import JobSource
from kilowait.program.read import JobReading, read_file, read_program, read_stdin

if TYPE_CHECKING:
    from kilowait.predict.predictor import Forecast, SourceEmbedder
    from kilowait.predict.probe.bundle import Bundle

EXAMPLE = """\
examples:
  kilowait predict train.py
  kilowait predict train.py evaluate.py --device cpu-1 --json
  kilowait predict train.py --device H100 --device "RTX 4090" --gpus 2
  kilowait predict train.py --device all --dry-run-budget-s 2
  cat train.py | kilowait predict -
  kilowait predict train.py -- --epochs 300 --lr 1e-3
  kilowait predict --entrypoint train.py my_project/ -- --config conf.yaml
  kilowait predict --entrypoint train.py my_project.zip

What follows -- are the script's own arguments. With --entrypoint each FILE is a folder or a zip: the local modules
that the entrypoint imports and the configuration files that code or arguments name are part of the job; the rest is
left out and listed. Environment variables are no part of it.

Each number is modelled. The program is executed dry, on tensors without data, in a sandbox without network or files of
yours, and a device model reads the operations it would run. For the device types of the bundle it is one fitted to
their labels, and the other metrics are what a probe on the source's embedding expects of them in a second; where the
dry run is of no use the probe tells the run time too. The table ends with how the labels were had: an energy learnt
from estimates is no better than those. For any other GPU type of the catalogue it is kilowait's own device model;
starting Python and CUDA, compiling and reading data are not in its times. An interval holds the truth nine times in ten
for programs like those the model learnt from, which are forward passes for GPU types; for training scripts there that
is not known. A type marked "never measured" rests on its specification sheet alone. A dry run that its budget cuts
short is partial, and of no use before the first optimizer step: give a large program more with --dry-run-budget-s.
"""
STDIN = "-"
ALL = "all"
BESIDE = ("A100", "A6000")
"""GPU types shown where none is named."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of `kilowait predict`."""
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("files", nargs="+", metavar="FILE", help="a program's source; - reads standard input")
    parser.add_argument("--entrypoint", metavar="PATH", help="FILE is a folder or a zip, and PATH in it is started")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--bundle", type=Path, metavar="DIR", help="probes to use (default: those of this package)")
    parser.add_argument(
        "--device",
        action="append",
        metavar="TYPE",
        help="a device type of the bundle, any GPU type by any of its names, or all; may be repeated "
        f"(default: the bundle's, {' and '.join(BESIDE)})",
    )
    parser.add_argument("--gpus", type=int, metavar="N", help="GPUs of each type (default: what the source asks for)")
    parser.add_argument(
        "--dry-run-budget-s",
        type=float,
        default=BUDGET_S,
        metavar="S",
        help="CPU seconds that the dry run of a program gets; 0 switches it off (default: %(default)g)",
    )
    parser.add_argument("--device-model", type=Path, metavar="DIR", help="another one (default: that of this package)")
    parser.add_argument(
        "--threads", type=int, default=2, metavar="N", help="threads of the language model (default: 2)"
    )
    parser.set_defaults(arguments=[])


def run(args: argparse.Namespace) -> int:
    """Predict for every file and print; raises InputError for a source or device type that is refused."""
    if args.threads < 1:
        raise InputError(f"--threads must be >= 1, got {args.threads}")
    if args.gpus is not None and args.gpus < 1:
        raise InputError(f"--gpus must be >= 1, got {args.gpus}")
    if not 0 <= args.dry_run_budget_s < math.inf:
        raise InputError(f"--dry-run-budget-s must be >= 0 and finite, got {args.dry_run_budget_s}")
    submissions = _read(args)
    require("kilowait predict", ("torch", "transformers", "safetensors", "tokenizers", "gguf"), "predict")
    os.environ.update({**WAITING, **os.environ})
    with _without_collection():
        report = _predict(submissions, args)
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if args.json else as_text(report))
    return 0 if any(entry["devices"] for entry in report["predictions"]) else 1


@contextmanager
def _without_collection() -> Iterator[None]:
    """Spare one short-lived process the search for garbage in what it imports: half a second of three."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _predict(submissions: Sequence[JobReading], args: argparse.Namespace) -> dict[str, Any]:
    with ExitStack() as stack:  # the workers of dry runs start while torch loads here
        budget_s = args.dry_run_budget_s
        gpu_runs = stack.enter_context(DryRuns(budget_s if _wants_gpus(args) else 0.0))
        own_runs = _own_runs(args, gpu_runs, stack) if budget_s else None
        from kilowait.predict.predictor import GpuSide, OwnSide, Predictor
        from kilowait.predict.probe import bundle as bundles

        bundle = bundles.load(args.bundle) if args.bundle else bundles.load_default()
        devices = _devices(args.device, bundle.device_types)
        gpu, own = GpuSide(gpu_runs, args.device_model), OwnSide(*own_runs) if own_runs else None
        predictor = Predictor(bundle, _embedder(bundle, args.threads), gpu, own)
        gpu_types = [name for name in devices if name in CATALOGUE]
        results = []
        for given in submissions:
            request = _request(given.source, args.gpus)
            results.append((given, request, predictor.forecast(given.source, gpu_types, request["gpus"])))
        report = _report(results, devices, bundle)
        if any(forecast.dry_run.usable for _, _, forecast in results):
            report["device_model"] = gpu.model.about
        if own and any(forecast.own_dry_run.usable for _, _, forecast in results):
            report["own_device_model"] = own.model.about
        return report


def _own_runs(args: argparse.Namespace, gpu_runs: DryRuns, stack: ExitStack) -> tuple[DryRuns, Path] | None:
    """Dry runs for the bundle's own device model and its folder, where it has one and its types are asked for."""
    from kilowait.predict.operations import labelled, of_bundle

    folder = of_bundle(args.bundle)
    names = labelled(folder) if folder else ()
    asked = args.device or [ALL]
    if folder is None or not any(name in (ALL, *names) or _gpu(name) in names for name in asked):
        return None
    if any(_gpu(name) for name in names):
        return gpu_runs, folder
    return stack.enter_context(DryRuns(args.dry_run_budget_s, "cpu")), folder


def _read(args: argparse.Namespace) -> list[JobReading]:
    if args.files.count(STDIN) > 1:
        raise InputError("standard input can be read once: give - once")
    if args.entrypoint is None:
        return [read_stdin(args.arguments) if f == STDIN else read_file(f, args.arguments) for f in args.files]
    if STDIN in args.files:
        raise InputError("--entrypoint is for folders and zips; standard input (-) is one script")
    return [read_program(file, args.entrypoint, args.arguments) for file in args.files]


def _wants_gpus(args: argparse.Namespace) -> bool:
    """Whether a type was asked for that is a GPU type: a bundle is not read to know that."""
    return not args.device or any(name == ALL or _gpu(name) for name in args.device)


def _gpu(name: str) -> str | None:
    """The canonical name of a GPU type, None for what is none."""
    try:
        return canonical(name)
    except InputError:
        return None


def _devices(asked: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """The bundle's types first, then GPU types; raises InputError, with near names, for what is neither."""
    if not asked:
        return list(dict.fromkeys([*known, *BESIDE]))
    if ALL in asked:
        return list(dict.fromkeys([*known, *CATALOGUE]))
    names = dict.fromkeys(name if name in known else _canonical(name, known) for name in asked)
    return [name for name in known if name in names] + [name for name in names if name not in known]


def _canonical(name: str, known: Sequence[str]) -> str:
    try:
        return canonical(name)
    except InputError as error:
        raise InputError(f"--device {name}: the probes know {', '.join(known)}, and {error}") from None


def _embedder(bundle: "Bundle", threads: int) -> "SourceEmbedder":
    """The language model as deep as the probes read it."""
    from kilowait.predict.embed.embedding import Embedder
    from kilowait.predict.embed.language_model import load_language_model

    model = load_language_model(bundle.features[0].model, depth=max(feature.layer for feature in bundle.features))
    return Embedder(model, threads=threads)


def _report(
    results: Sequence[tuple[JobReading, dict[str, Any], "Forecast"]], devices: Sequence[str], bundle: "Bundle"
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
                **_novelty(forecast),
                "request": request,
                "dry_run": {**forecast.dry_run.to_dict(), "summary": forecast.dry_run.summary},
                "own_dry_run": {**forecast.own_dry_run.to_dict(), "summary": forecast.own_dry_run.summary},
                "devices": {name: _numbers(forecast, name) for name in devices if name in forecast.predictions},
            }
            for given, request, forecast in results
        ],
    }


def _described(given: JobReading) -> dict[str, Any]:
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


def _novelty(forecast: "Forecast") -> dict[str, Any]:
    """How far the program is from those that the probes learnt from, where the bundle knows."""
    if forecast.distance is None:
        return {}
    return {"novelty": {"distance": forecast.distance, "new_kind": forecast.distance > 1}}


def _numbers(forecast: "Forecast", device: str) -> dict[str, Any]:
    """What there is to say of one device type; ends that are None are not known."""
    prediction = forecast.predictions[device]
    lack = forecast.memory.get(device)
    return {
        "runtime_s": prediction.runtime_s,
        "energy_j": prediction.energy_kwh * JOULES_PER_KWH,
        **prediction.other,
        "runtime_low_s": prediction.runtime_low_s,
        "runtime_high_s": prediction.runtime_high_s,
        "provenance": forecast.provenance[device],
        **({"memory": lack} if lack else {}),
    }


def _request(source: JobSource, gpus: int | None) -> dict[str, Any]:
    """What the source and its arguments say about GPUs, and what was given."""
    from kilowait.program.resources import read_request
    from kilowait.program.text import texts

    request = read_request(texts(source), source.arguments, gpus=gpus)
    types = None if request.gpu_types is None else sorted(request.gpu_types)
    return {"gpus": request.gpus, "gpu_types": types, "evidence": list(request.evidence)}

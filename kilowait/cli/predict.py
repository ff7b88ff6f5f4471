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
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.cli.by_the_hour.when_text import WhenAsked, add_when_options, asked_when, when_of
from kilowait.cli.by_the_hour.within_text import chance_of, duration
from kilowait.cli.costs import add_price_option, cost_of, prices_of
from kilowait.cli.gpu_prices import GpuPrices
from kilowait.cli.job_environment import accesses, add_environment_options, interpreter_of, surrounded
from kilowait.cli.predict_text import as_text
from kilowait.cli.standby.standby_call import add_cold_option
from kilowait.cli.watts.power_text import limits_of, watts_of
from kilowait.core.errors import InputError
from kilowait.core.hardware import add_gpu_file_option
from kilowait.core.jobs import Provenance
from kilowait.core.units import JOULES_PER_KWH
from kilowait.predict.dry_runs import BUDGET_S, FEATURES, WAITING
from kilowait.predict.embed.features import THREADS
from kilowait.predict.one_shot import BESIDE, ForecastRound, JobForecast, PredictionSettings, forecast_jobs
from kilowait.program.read import JobReading, read_command, read_file, read_program, read_stdin

if TYPE_CHECKING:
    from kilowait.core.jobs import Prediction
    from kilowait.predict.predictor import Forecast

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
  kilowait predict train.py --venv .venv
  kilowait predict run.sh
  kilowait predict job.sbatch
  kilowait predict train.ipynb
  kilowait predict -- torchrun --nproc_per_node 4 train.py --lr 1

What follows -- are the script's own arguments. With --entrypoint each FILE is a folder or a zip: the local modules
that the entrypoint imports and the configuration files that code or arguments name are part of the job; the rest is
left out and listed. A shell script, batch script or notebook is followed to the program that it comes to, and so is
a command after -- without a FILE: its arguments, its processes (one of which is executed dry) and its GPUs are those
that torchrun, accelerate launch, deepspeed, srun, mpirun and #SBATCH lines say. Nothing of it is run to find out.
Variables (--env) and the folder that it starts in (--workdir) are part of a job too.

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


def add_arguments(parser: argparse.ArgumentParser, _: Sequence[str] = ()) -> None:
    """Declare the options of `kilowait predict`."""
    parser.epilog = EXAMPLE
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="a program's source, or a shell script, batch script or notebook that leads to it; - reads standard input",
    )
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
    add_gpu_file_option(parser)
    add_price_option(parser)
    parser.add_argument("--within", type=duration, metavar="TIME", help="say how likely it is done in so long (8h)")
    add_when_options(parser)
    parser.add_argument("--gpus", type=int, metavar="N", help="GPUs of each type (default: what the source asks for)")
    parser.add_argument(
        "--dry-run-budget-s",
        type=float,
        default=BUDGET_S,
        metavar="S",
        help="CPU seconds that the dry run of a program gets; 0 switches it off (default: %(default)g)",
    )
    parser.add_argument(
        "--max-batch", action="store_true", help="the largest batch that fits; may take another dry run with its double"
    )
    parser.add_argument("--power-limits", action="store_true", help="seconds, watts and joules at each power limit too")
    parser.add_argument("--device-model", type=Path, metavar="DIR", help="another one (default: that of this package)")
    parser.add_argument(
        "--threads", type=int, default=THREADS, metavar="N", help="threads of the language model (default: %(default)s)"
    )
    add_environment_options(parser)
    add_cold_option(parser)
    parser.set_defaults(arguments=[])


def run(args: argparse.Namespace) -> int:
    """Predict for every file and print; raises InputError for a source or device type that is refused."""
    report = predicted(args)
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if args.json else as_text(report))
    return 0 if any(entry["devices"] for entry in report["predictions"]) else 1


def predicted(args: argparse.Namespace) -> dict[str, Any]:
    """Everything there is to show of every file, as JSON would have it; raises InputError as `run` does."""
    settings, prices, when = _settings(args), prices_of(args), asked_when(args)
    readings = [surrounded(reading, args) for reading in _read(args)]
    settings = replace(settings, access=accesses(readings, args))
    os.environ.update({**WAITING, **os.environ})
    with _without_collection():
        return _report(forecast_jobs(readings, settings), prices, when, args)


def _settings(args: argparse.Namespace) -> PredictionSettings:
    """What was asked for; raises InputError for a number out of range, in the words of the command line."""
    for option, holds in (("threads", args.threads >= 1), ("gpus", args.gpus is None or args.gpus >= 1)):
        if not holds:
            raise InputError(f"--{option} must be >= 1, got {getattr(args, option)}")
    if not 0 <= args.dry_run_budget_s < math.inf:
        raise InputError(f"--dry-run-budget-s must be >= 0 and finite, got {args.dry_run_budget_s}")
    return PredictionSettings(
        devices=args.device,
        gpus=args.gpus,
        bundle=args.bundle,
        device_model=args.device_model,
        dry_run_budget_s=args.dry_run_budget_s,
        interpreter=interpreter_of(args),
        threads=args.threads,
        max_batch=args.max_batch,
        device_word="--device",
    )


@contextmanager
def _without_collection() -> Iterator[None]:
    """Spare one short-lived process the search for garbage in what it imports: half a second of three."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _read(args: argparse.Namespace) -> list[JobReading]:
    if args.files.count(STDIN) > 1:
        raise InputError("standard input can be read once: give - once")
    if not args.files and args.arguments:
        return [read_command(args.arguments)]
    if not args.files:
        raise InputError("nothing to predict: give a FILE, or after -- the command that starts the program")
    if args.entrypoint is None:
        return [read_stdin(args.arguments) if f == STDIN else read_file(f, args.arguments) for f in args.files]
    if STDIN in args.files:
        raise InputError("--entrypoint is for folders and zips; standard input (-) is one script")
    return [read_program(file, args.entrypoint, args.arguments) for file in args.files]


def _report(
    forecasts: ForecastRound, prices: GpuPrices, when: WhenAsked | None, args: argparse.Namespace
) -> dict[str, Any]:
    """Everything there is to show, as JSON would have it."""
    bundle = forecasts.bundle
    return {
        "probe_version": bundle.version,
        "features": [feature.key for feature in bundle.features],
        "provenance": Provenance.MODELLED,
        "label_provenance": {metric: dict(part.provenance) for metric, part in bundle.metrics.items()},
        "predictions": [_entry(job, prices, when, args) for job in forecasts.jobs],
        **({"device_model": forecasts.device_model} if forecasts.device_model is not None else {}),
        **({"own_device_model": forecasts.own_device_model} if forecasts.own_device_model is not None else {}),
    }


def _entry(job: JobForecast, prices: GpuPrices, when: WhenAsked | None, args: argparse.Namespace) -> dict[str, Any]:
    """One program."""
    forecast = job.forecast
    gpus = job.gpus
    return {
        **_described(job.reading),
        **_novelty(forecast),
        "request": {
            "gpus": job.request.gpus,
            "gpu_types": None if job.request.gpu_types is None else sorted(job.request.gpu_types),
            "evidence": list(job.request.evidence),
        },
        "dry_run": {**forecast.dry_run.to_dict(), "summary": forecast.dry_run.summary},
        "own_dry_run": {**forecast.own_dry_run.to_dict(), "summary": forecast.own_dry_run.summary},
        **(_batches(job) if args.max_batch else {}),
        "devices": {
            name: {
                **_numbers(forecast, name, gpus),
                **(limits_of(job[name], gpus) if args.power_limits else {}),
                **chance_of(job[name], args.within),
                **when_of(job[name], when),
                **cost_of(job[name], name, gpus, prices),
            }
            for name in job
        },
    }


def _batches(job: JobForecast) -> dict[str, Any]:
    """The largest batch by GPU type; of none where nothing tells how memory grows with it."""
    line = job.batch_line
    needs = job.forecast.memory_needs
    return {"largest_batch": {name: line.largest(name).to_dict() for name in needs} if line else {}}


def _described(reading: JobReading) -> dict[str, Any]:
    """What was read, as it was understood."""
    from kilowait.program.effect import arguments_in_effect
    from kilowait.program.text import texts

    effect = arguments_in_effect(reading.source) if reading.source.arguments else {}
    return {
        "file": reading.name,
        "content_hash": reading.source.content_hash,
        "arguments": list(reading.source.arguments),
        "arguments_in_effect": {
            name: {"value": argument.value, "evidence": argument.evidence, "where": argument.where}
            for name, argument in effect.items()
        },
        "files": list(texts(reading.source)),
        "left_out": dict(reading.left_out),
        "notes": list(reading.notes),
    }


def _novelty(forecast: "Forecast") -> dict[str, Any]:
    """How far the program is from those that the probes learnt from, where the bundle knows."""
    if forecast.distance is None:
        return {}
    return {"novelty": {"distance": forecast.distance, "new_kind": forecast.distance > 1}}


def _numbers(forecast: "Forecast", device: str, gpus: int) -> dict[str, Any]:
    """What there is to say of one device type; ends that are None are not known."""
    prediction = forecast.predictions[device]
    memory = forecast.memory.get(device)
    return {
        **_rates(forecast, prediction),
        "runtime_s": prediction.runtime_s,
        "energy_j": prediction.energy_kwh * JOULES_PER_KWH,
        **watts_of(prediction, gpus),
        **prediction.other,
        "runtime_low_s": prediction.runtime_low_s,
        "runtime_high_s": prediction.runtime_high_s,
        "provenance": forecast.provenance[device],
        **({"memory": memory} if memory else {}),
        **({"memory_need": forecast.memory_needs[device].to_dict()} if device in forecast.memory_needs else {}),
    }


def _rates(forecast: "Forecast", prediction: "Prediction") -> dict[str, float]:
    """Seconds a step and samples a second, for a type that a dry run was timed on and whose steps are known."""
    if not prediction.features.startswith(FEATURES):
        return {}
    run = (forecast.dry_run if prediction.features == FEATURES else forecast.own_dry_run).usable
    if run is None or not run.steps or run.unbounded:
        return {}
    samples = {"samples_per_s": run.samples / prediction.runtime_s} if run.samples else {}
    return {"step_s": prediction.runtime_s / run.steps, **samples}

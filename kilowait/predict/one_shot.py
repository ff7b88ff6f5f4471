"""Predictions for programs at hand, asked for once: what it takes is opened, used and closed again.

`kilowait predict` prints what `forecast_jobs` finds, and `kilowait.predict` is `predict` here. A service that is asked
again and again keeps a `Predictor` instead. Nothing heavy loads before the sources have been read and checked.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kilowait.core.errors import InputError
from kilowait.core.extras import require
from kilowait.core.hardware import CATALOGUE, GPU_TYPES, canonical, is_known
from kilowait.core.jobs import Prediction
from kilowait.predict.board_memory.batch_search import batch_line
from kilowait.predict.board_memory.largest_batch import BatchLine
from kilowait.predict.dry_run_access import NOTHING, DryRunAccess
from kilowait.predict.dry_runs import BUDGET_S, DryRuns
from kilowait.predict.embed.features import MOST_TOKENS, THREADS
from kilowait.predict.interpreter import OWN, Interpreter, choose
from kilowait.predict.worker_pair import WorkerPair, pair_for
from kilowait.program.read import JobReading, read_file, read_program
from kilowait.program.resources import GpuRequest, read_request
from kilowait.program.text import texts

if TYPE_CHECKING:
    from kilowait.predict.predictor import Forecast, SourceEmbedder
    from kilowait.predict.probe.bundle import Bundle

ALL = "all"
BESIDE = ("A100", "A6000")
"""GPU types that are predicted where none is named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictionSettings:
    """What is asked of every program, and of what: each None stands for what comes with kilowait.

    `devices` are device types of the bundle, GPU types by any of their names, or `all`; `gpus` of each type, None for
    what the program asks for. `dry_run_budget_s` are CPU seconds, 0 for no dry run; `interpreter` is the program's, and
    `access` what the dry run of a program may read, by its content hash.
    `max_batch` asks for the largest batch, which may take another dry run. `device_word` is what errors call a device
    type that was asked for. Raises InputError for a number out of range.
    """

    devices: Sequence[str] | None = None
    gpus: int | None = None
    bundle: Path | None = None
    device_model: Path | None = None
    dry_run_budget_s: float = BUDGET_S
    interpreter: Interpreter = OWN
    access: Mapping[str, DryRunAccess] = field(default_factory=dict)
    threads: int = THREADS
    max_batch: bool = False
    device_word: str = "device"

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise InputError(f"threads must be >= 1, got {self.threads}")
        if self.gpus is not None and self.gpus < 1:
            raise InputError(f"gpus must be >= 1, got {self.gpus}")
        if not 0 <= self.dry_run_budget_s < math.inf:
            raise InputError(f"dry_run_budget_s must be >= 0 and finite, got {self.dry_run_budget_s}")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class JobForecast(Mapping[str, Prediction]):
    """What one program will take: a mapping from device type to `Prediction`, and what it rests on.

    `reading` is the program as it was read, `request` the GPUs that it asks for with the evidence. `forecast` has of
    each type how the number was had, the dry runs, and which types have too little memory. A type that was asked for
    and is missing needed a dry run that `dry_run` says is not there. `batch_line` says how memory grows with the batch,
    None where that was not asked for or nothing tells.
    """

    reading: JobReading
    request: GpuRequest
    forecast: "Forecast"
    devices: tuple[str, ...]
    batch_line: BatchLine | None = None

    def __getitem__(self, device: str) -> Prediction:
        """Of one device type, a GPU type by any of its names; raises KeyError for one that has no prediction."""
        name = device if device in self.devices else gpu_name(device)
        if name not in self.devices:
            raise KeyError(device)
        return self.forecast.predictions[name]

    def __iter__(self) -> Iterator[str]:
        return (name for name in self.devices if name in self.forecast.predictions)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @property
    def gpus(self) -> int:
        """Those that it is predicted for: what it asks for, or more where it ends at once with so few."""
        return max(self.request.gpus, self.forecast.ranks)

    @property
    def provenance(self) -> Mapping[str, str]:
        """How each number was had, in words, by device type."""
        return {name: self.forecast.provenance[name] for name in self}

    @property
    def dry_run(self) -> str:
        """One line on the dry run."""
        return self.forecast.summary


@dataclass(frozen=True, slots=True, kw_only=True)
class ForecastRound:
    """Forecasts of several programs by one bundle, and the device models that some of them used (None: none did)."""

    jobs: tuple[JobForecast, ...]
    bundle: "Bundle"
    device_model: Mapping[str, Any] | None
    own_device_model: Mapping[str, Any] | None


def predict(
    path: Path | str,
    *,
    arguments: Sequence[str] = (),
    entrypoint: str | None = None,
    gpus: int | None = None,
    devices: Sequence[str] | None = None,
    bundle: Path | str | None = None,
    device_model: Path | str | None = None,
    dry_run_budget_s: float = BUDGET_S,
    python: Path | str | None = None,
    threads: int = THREADS,
) -> JobForecast:
    """Predict the run time (s) and energy (kWh) of a program on each device type before it runs.

    `path` is a script, or, with `entrypoint`, a folder or a zip in which that file is started; `arguments` are the
    program's own. `devices` are device types of the bundle, GPU types by any of their names, or `all` (default: the
    bundle's, A100 and A6000), `gpus` how many of each (default: what the program asks for). The program is executed
    dry, on tensors without data, for at most `dry_run_budget_s` CPU seconds (0: not at all), under the interpreter
    `python` (default: this one).

    Raises SourceError for a program that cannot be read or used, InputError for a device type that is unknown and a
    number out of range, ModelError for a bundle or device model that is missing or damaged. Loading takes seconds; to
    ask often, keep a `kilowait.Predictor` or ask the service.
    """
    settings = PredictionSettings(
        devices=devices,
        gpus=gpus,
        bundle=Path(bundle) if bundle else None,
        device_model=Path(device_model) if device_model else None,
        dry_run_budget_s=dry_run_budget_s,
        interpreter=choose(python=str(python)) if python else OWN,
        threads=threads,
    )
    reading = read_file(path, arguments) if entrypoint is None else read_program(path, entrypoint, arguments)
    return forecast_jobs([reading], settings).jobs[0]


def forecast_jobs(readings: Sequence[JobReading], settings: PredictionSettings) -> ForecastRound:
    """Forecasts of these programs.

    Raises InputError for an unknown device type, ModelError as `predict` does, MissingExtra before anything is started.
    """
    require("kilowait predict", ("torch", "transformers", "safetensors", "tokenizers", "gguf"), "predict")
    with ExitStack() as stack:  # the workers of dry runs start while torch loads here
        pair = stack.enter_context(pair_for(settings.interpreter))
        gpu_budget_s = settings.dry_run_budget_s if _wants_gpus(settings.devices) else 0.0
        gpu_runs = stack.enter_context(DryRuns(gpu_budget_s, interpreter=settings.interpreter, pair=pair))
        own_runs = _own_runs(settings, gpu_runs, pair, stack) if settings.dry_run_budget_s else None
        from kilowait.predict.predictor import GpuSide, OwnSide, Predictor
        from kilowait.predict.probe import bundle as bundles

        bundle = bundles.load(settings.bundle) if settings.bundle else bundles.load_default()
        devices = _devices(settings, bundle.device_types)
        gpu, own = GpuSide(gpu_runs, settings.device_model), OwnSide(*own_runs) if own_runs else None
        predictor = Predictor(bundle, _embedder(bundle, settings.threads), gpu, own)
        gpu_types = [name for name in devices if name in GPU_TYPES]
        jobs = []
        for reading in readings:
            request = _request(reading, settings.gpus)
            access = settings.access.get(reading.source.content_hash, NOTHING)
            forecast = predictor.forecast(reading.source, gpu_types, request.gpus, access)
            line = _batch_line(reading, forecast, gpu_runs, access) if settings.max_batch else None
            jobs.append(
                JobForecast(
                    reading=reading, request=request, forecast=forecast, devices=tuple(devices), batch_line=line
                )
            )
        gpu_used = any(job.forecast.dry_run.usable for job in jobs)
        own_used = own is not None and any(job.forecast.own_dry_run.usable for job in jobs)
        return ForecastRound(
            jobs=tuple(jobs),
            bundle=bundle,
            device_model=gpu.model.about if gpu_used else None,
            own_device_model=own.model.about if own and own_used else None,
        )


def _batch_line(reading: JobReading, forecast: "Forecast", dry_runs: DryRuns, access: DryRunAccess) -> BatchLine | None:
    run = forecast.dry_run.usable
    return batch_line(reading.source, run, dry_runs, access) if run else None


def _own_runs(
    settings: PredictionSettings, gpu_runs: DryRuns, pair: WorkerPair, stack: ExitStack
) -> tuple[DryRuns, Path] | None:
    """Dry runs for the bundle's own device model and its folder, where it has one and its types are asked for."""
    from kilowait.predict.operations import labelled, of_bundle

    folder = of_bundle(settings.bundle)
    names = labelled(folder) if folder else ()
    devices = settings.devices or [ALL]
    if folder is None or not any(name in (ALL, *names) or gpu_name(name) in names for name in devices):
        return None
    if any(gpu_name(name) for name in names):
        return gpu_runs, folder
    return stack.enter_context(DryRuns(settings.dry_run_budget_s, "cpu", settings.interpreter, pair)), folder


def _wants_gpus(devices: Sequence[str] | None) -> bool:
    """Whether a type was asked for that is a GPU type: a bundle is not read to know that."""
    return not devices or any(name == ALL or gpu_name(name) for name in devices)


def gpu_name(name: str) -> str | None:
    """The canonical name of a GPU type, None for what is none."""
    return canonical(name) if is_known(name) else None


def _devices(settings: PredictionSettings, known: Sequence[str]) -> list[str]:
    """The bundle's types first, then GPU types; raises InputError, with near names, for what is neither."""
    devices, word = settings.devices, settings.device_word
    if not devices:
        return list(dict.fromkeys([*known, *BESIDE]))
    if ALL in devices:
        return list(dict.fromkeys([*known, *CATALOGUE]))
    names = dict.fromkeys(name if name in known else _canonical(name, known, word) for name in devices)
    return [name for name in known if name in names] + [name for name in names if name not in known]


def _canonical(name: str, known: Sequence[str], word: str) -> str:
    is_known(name)  # a site's file that is wrong speaks for itself
    try:
        return canonical(name)
    except InputError as error:
        raise InputError(f"{word} {name}: the probes know {', '.join(known)}, and {error}") from None


def _embedder(bundle: "Bundle", threads: int) -> "SourceEmbedder":
    """The language model as deep as the probes read it."""
    from kilowait.predict.embed.embedding import Embedder
    from kilowait.predict.embed.language_model import load_language_model

    model = load_language_model(bundle.features[0].model, depth=max(feature.layer for feature in bundle.features))
    return Embedder(model, threads=threads, most_tokens=MOST_TOKENS)


def _request(reading: JobReading, gpus: int | None) -> GpuRequest:
    """What the source and its command say about GPUs, and what was given."""
    return read_request(texts(reading.source), reading.words, gpus=gpus)

"""Who predicts: this process, in its own time, or the service that KILOWAIT_URL names, which may know the program."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kilowait.advise.advice import Advice, OnType
from kilowait.core.hardware import power_order
from kilowait.core.jobs import Prediction
from kilowait.predict.dry_run_access import of_caller
from kilowait.predict.dry_runs import BUDGET_S, WAITING
from kilowait.predict.interpreter import OWN, Interpreter
from kilowait.predict.one_shot import JobForecast, PredictionSettings, forecast_jobs
from kilowait.program.read import JobReading

Costing = Callable[[Prediction, str, int], Mapping[str, Any]]
"""(prediction, GPU type, GPUs) -> what it costs, {} where no price is known."""


@dataclass(frozen=True, kw_only=True)
class AdviceQuestion:
    """A program as it was read, the GPUs that were given (None: what it asks for) and the types that there are.

    `root` is the folder of its files, None where they are in none; `interpreter` the job's own Python, and
    `dry_run_budget_s` CPU seconds of the dry run.
    """

    reading: JobReading
    gpus: int | None = None
    gpu_types: tuple[str, ...] = ()
    root: Path | None = None
    interpreter: Interpreter = OWN
    dry_run_budget_s: float = BUDGET_S
    cost: Costing = lambda _prediction, _type, _gpus: {}


def advice_here(question: AdviceQuestion) -> Advice:
    """What this process predicts; raises what `kilowait.predict.one_shot.forecast_jobs` raises."""
    reading = question.reading
    access = of_caller(reading.source, question.root, (), os.environ)
    settings = PredictionSettings(
        devices=power_order(question.gpu_types) or None,
        gpus=question.gpus,
        interpreter=question.interpreter,
        dry_run_budget_s=question.dry_run_budget_s,
        access={reading.source.content_hash: access},
    )
    os.environ.update({**WAITING, **os.environ})
    forecasts = forecast_jobs([reading], settings)
    return of_forecast(forecasts.jobs[0], forecasts.bundle.version, question.cost)


def of_forecast(job: JobForecast, bundle_version: str, cost: Costing) -> Advice:
    """The advice that a forecast is; the bundle made its embedding."""
    forecast, request = job.forecast, job.request
    needs = forecast.memory_needs
    by_type = {
        name: OnType(
            prediction=prediction,
            provenance=forecast.provenance[name],
            fitting=str(needs[name].fitting) if name in needs else "",
            memory_bytes=needs[name].expected if name in needs else None,
            memory_high_bytes=needs[name].high if name in needs else None,
            cost=cost(prediction, name, job.gpus),
        )
        for name, prediction in job.items()
    }
    return Advice(
        program=job.reading.name,
        content_hash=job.reading.source.content_hash,
        gpus=job.gpus,
        gpu_types=request.gpu_types,
        by_type=by_type,
        dry_run=forecast.dry_run.summary,
        assumptions=tuple(dict.fromkeys([*forecast.dry_run.assumed, *job.reading.notes])),
        beside=job.reading.beside,
        evidence=request.evidence,
        version="+".join(dict.fromkeys([bundle_version, *(on.prediction.probe_version for on in by_type.values())])),
        vector=tuple(map(float, forecast.vector)),
    )

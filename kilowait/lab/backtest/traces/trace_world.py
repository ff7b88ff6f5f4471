"""A trace as the world of a backtest: arrivals scaled to a load, then cut into windows that are its samples.

offered load = sum over jobs of a_j t_j / (G (s_last - s_first)), where a_j are job j's GPUs, t_j its seconds
averaged over the inventory's types it can run on (weighted by their GPUs), G all GPUs of the inventory, and s the
times of submission. One factor stretches or compresses all arrivals of the trace until this is the load asked for,
so busy and quiet stretches stay what they were to each other. Run times are not scaled.

A window is a run of consecutive jobs; it starts on an empty cluster at its first arrival and ends when its last job
does. Windows follow each other without overlap. Neighbours resemble each other, so intervals over windows are
somewhat too narrow.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from kilowait.core.errors import InputError
from kilowait.core.units import WHOLE
from kilowait.lab.backtest.scenario.job_classes import class_table
from kilowait.lab.backtest.scenario.noise import ErrorPool, predictions_seen, with_noise
from kilowait.lab.backtest.scenario.paper_scenario import Sample, sample_rng, with_checkpoints
from kilowait.lab.backtest.traces import Trace, TraceReport
from kilowait.lab.backtest.traces.trace_plan import PlannedJob, PlanReport, plan
from kilowait.simulate.run import Submission

MIN_WINDOW_JOBS = 50
"""Unless asked otherwise no window is shorter: a handful of jobs on an empty cluster never waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """The offered load as the trace came, as it was asked for, and the factor on all times of submission."""

    recorded: float
    asked: float
    arrival_factor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TraceWorld:
    """Windows of one trace on one inventory, numbered from 0; `window_jobs` jobs each.

    With `errors` the policies see predictions that are wrong as those errors were, with `estimates` what users asked
    for, else the truth. With `checkpoint_s` every job can be preempted, and takes so many seconds to go on.
    """

    classes: str
    seed: int
    inventory: Mapping[str, int]
    jobs: tuple[PlannedJob, ...]
    window_jobs: int
    windows: int
    report: TraceReport
    planned: PlanReport
    load: LoadReport
    errors: ErrorPool | None = None
    checkpoint_s: float | None = None
    estimates: bool = False
    nodes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    @property
    def trace(self) -> str:
        """What the trace is called in tables."""
        return f"{self.report.source} ({self.report.format})"

    @property
    def predictions(self) -> str:
        """What policies see: "oracle", "users", or "noisy" and the model whose errors were drawn."""
        return "users" if self.estimates else predictions_seen(self.errors)

    @property
    def left_over(self) -> int:
        """Planned jobs after the last window."""
        return len(self.jobs) - self.windows * self.window_jobs

    def sample(self, index: int) -> Sample:
        """Window `index`, its first job at 0 s; raises InputError beyond the last."""
        if not 0 <= index < self.windows:
            raise InputError(f"{self.trace} has windows 0 to {self.windows - 1}, got {index}")
        window = [p.submission for p in self.jobs[index * self.window_jobs :][: self.window_jobs]]
        start_s = window[0].job.submit_s
        shifted = tuple(_submitted_at(s, s.job.submit_s - start_s) for s in window)
        sample = Sample(submissions=shifted, inventory=self.inventory, nodes=self.nodes)
        sample = with_checkpoints(sample, self.checkpoint_s)
        return sample if self.errors is None else with_noise(sample, self.errors, sample_rng(self.seed, "test", index))


def trace_world(
    trace: Trace,
    inventory: Mapping[str, int],
    *,
    load: float,
    samples: int,
    seed: int,
    classes: str = "calibrated",
    window_jobs: int | None = None,
    errors: ErrorPool | None = None,
    checkpoint_s: float | None = None,
    nodes: Mapping[str, Sequence[int]] | None = None,
    estimates: bool = False,
) -> TraceWorld:
    """The world of a trace with at most `samples` windows, of `window_jobs` jobs or as many as that takes.

    `inventory` holds GPUs by the catalogue's name, most powerful first, `nodes` those of each node as for
    `simulate`. Raises InputError when no job fits, when all
    arrive at once, and for a window longer than the trace.
    """
    if estimates and errors is not None:
        raise InputError("policies see what users asked for, or predictions with errors drawn; give one of the two")
    if estimates and not any(job.estimate_s for job in trace.jobs):
        raise InputError(f"{trace.report.source}: no job says how long its user thought it would take")
    planned, report = plan(
        trace.jobs, inventory, seed=seed, table=class_table(classes), nodes=nodes, estimates=estimates
    )
    if not planned:
        raise InputError(
            f"{trace.report.source}: no job can run on this inventory: {report.no_allowed_type} may use none of "
            f"its types ({', '.join(inventory)}), {report.too_large} need more GPUs than a type or node has"
        )
    submissions = [p.submission for p in planned]
    recorded = offered_load(submissions, inventory)
    if not math.isfinite(recorded):
        raise InputError(f"{trace.report.source}: all {len(planned)} jobs arrive at once, so --load cannot be set")
    factor = recorded / load
    jobs = tuple(
        replace(p, submission=_submitted_at(s, s.job.submit_s * factor))
        for p, s in zip(planned, submissions, strict=True)
    )
    size = window_size(len(jobs), samples, window_jobs)
    return TraceWorld(
        classes=classes,
        seed=seed,
        inventory=dict(inventory),
        jobs=jobs,
        window_jobs=size,
        windows=min(samples, len(jobs) // size),
        report=trace.report,
        planned=report,
        load=LoadReport(recorded=recorded, asked=load, arrival_factor=factor),
        errors=errors,
        checkpoint_s=checkpoint_s,
        estimates=estimates,
        nodes=dict(nodes or {}),
    )


def offered_load(submissions: Sequence[Submission], inventory: Mapping[str, int]) -> float:
    """GPU-seconds offered over GPU-seconds there are while jobs arrive (the module's formula); inf for one instant."""
    times = [s.job.submit_s for s in submissions]
    capacity = sum(inventory.values()) * (max(times) - min(times))
    offered = math.fsum(map(partial(_gpu_s, inventory=inventory), submissions))
    return offered / capacity if capacity else math.inf


def window_size(jobs: int, samples: int, asked: int | None) -> int:
    """Jobs a window; raises InputError when that is below 1 or more than there are."""
    if asked is None:
        return min(jobs, max(MIN_WINDOW_JOBS, -(-jobs // samples)))
    if not 1 <= asked <= jobs:
        raise InputError(f"--window-jobs must be between 1 and the trace's {jobs} usable jobs, got {asked!r}")
    return asked


def job_rows(world: TraceWorld) -> list[dict[str, Any]]:
    """A row of `columns.TRACE_JOBS` for every planned job and type it can run on."""
    return [
        {
            "job_id": p.submission.job.job_id,
            "submit_s": p.submission.job.submit_s,
            "gpus": p.submission.job.gpus,
            "gpu_milli": p.submission.job.gpu_milli,
            "job_class": p.job_class,
            "gpu_type": gpu_type,
            "runtime_s": prediction.runtime_s,
            "energy_kwh": prediction.energy_kwh,
            "runtime_provenance": p.runtime_provenance[gpu_type],
            "energy_provenance": p.energy_provenance[gpu_type],
            "window": k // world.window_jobs if k < world.windows * world.window_jobs else None,
        }
        for k, p in enumerate(world.jobs)
        for gpu_type, prediction in p.submission.truth.items()
    ]


def _gpu_s(submission: Submission, inventory: Mapping[str, int]) -> float:
    """GPUs times seconds, the mean over the types a job can run on, weighted by their GPUs."""
    weights = {t: inventory[t] for t in submission.truth}
    seconds = math.fsum(gpus * submission.truth[t].runtime_s for t, gpus in weights.items())
    return submission.job.gpus * submission.job.gpu_milli / WHOLE * seconds / sum(weights.values())


def _submitted_at(submission: Submission, submit_s: float) -> Submission:
    return replace(submission, job=replace(submission.job, submit_s=submit_s))

"""Short jobs at 1 to 1,000 a second on a cluster just large enough: does the scheduler keep up?

The jobs and the cluster are modelled, the seconds that the scheduler takes are measured. Jobs come as a Poisson
process whose rate swings: `SWING` above its mean for half a period, as much below for the other half, so that a queue
forms although the offered load is 0.95. A class's hours become seconds, so that a job takes `MEAN_JOB_S` on average.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import JOULES_PER_KWH
from kilowait.lab.backtest.backtest import PolicySpec
from kilowait.lab.backtest.scenario.job_classes import FACTOR_SD, POWER_SD_W, SIZE_SD_SHARE, JobClass, class_table
from kilowait.lab.backtest.scenario.paper_scenario import Sample, sample_rng, truncated_normal
from kilowait.lab.backtest.timing import BudgetSpent, Clock, TimedPolicy
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission

OFFERED_LOAD = 0.95
MEAN_JOB_S = 10.0
SWING = 0.5
PERIOD_S = 40.0
A6000_SHARE = 2 / 3
"""Of the GPUs, as in the paper's mean inventory."""
WINDOW_S = 60.0
MIN_JOBS = 2_000
"""Jobs of a run: those of a minute of arrivals, and enough for a 99th percentile."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RateWorld:
    """Arrivals at `rate` jobs a second."""

    rate: float
    classes: str
    seed: int

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate) and self.rate > 0):
            raise InputError(f"a rate must be finite and > 0 jobs a second, got {self.rate!r}")

    @property
    def jobs(self) -> int:
        """Jobs of one run."""
        return max(MIN_JOBS, round(self.rate * WINDOW_S))

    def inventory(self) -> Mapping[str, int]:
        """GPUs for an offered load of 0.95: rate * mean GPU-seconds of a job over GPUs, jobs spread as the GPUs are."""
        table = class_table(self.classes)
        seconds = {c.name: _mean_s(c, table) * (1 - A6000_SHARE + A6000_SHARE * c.a6000_factor) for c in table}
        gpu_s = math.fsum(c.share * c.gpus * seconds[c.name] for c in table) / math.fsum(c.share for c in table)
        gpus = self.rate * gpu_s / OFFERED_LOAD
        widest = max(c.gpus for c in table)
        return {
            "A100": max(widest, round(gpus * (1 - A6000_SHARE))),
            "A6000": max(widest, round(gpus * A6000_SHARE)),
        }

    def sample(self) -> Sample:
        """The one sample of this world."""
        table, rng = class_table(self.classes), sample_rng(self.seed, "test", 0)
        shares = np.array([c.share for c in table])
        drawn = [table[k] for k in rng.choice(len(table), size=self.jobs, p=shares / shares.sum())]
        mean_s = np.array([_mean_s(c, table) for c in drawn])
        a100_s = truncated_normal(rng, mean_s, mean_s * SIZE_SD_SHARE)
        a6000_s = a100_s * truncated_normal(rng, [c.a6000_factor for c in drawn], FACTOR_SD)
        a100_w = truncated_normal(rng, [c.a100_w for c in drawn], POWER_SD_W)
        a6000_w = truncated_normal(rng, [c.a6000_w for c in drawn], POWER_SD_W)
        columns = np.column_stack([self._arrivals_s(rng), a100_s, a100_w, a6000_s, a6000_w]).tolist()
        jobs = zip(range(self.jobs), drawn, columns, strict=True)
        return Sample(
            submissions=tuple(_submission(f"job-{i:07d}", c.gpus, *numbers) for i, c, numbers in jobs),
            inventory=self.inventory(),
        )

    def _arrivals_s(self, rng: np.random.Generator) -> FloatArray:
        """A Poisson process of unit rate, its time changed by the inverse of the integrated rate."""
        work = np.cumsum(rng.exponential(1.0, self.jobs)) / self.rate
        half = PERIOD_S / 2
        whole, rest = np.divmod(work, PERIOD_S)
        high_area = (1 + SWING) * half
        inside = np.where(rest < high_area, rest / (1 + SWING), half + (rest - high_area) / (1 - SWING))
        return np.asarray(whole * PERIOD_S + inside)


def measure_rate(world: RateWorld, spec: PolicySpec, *, clock: Clock, budget_s: float) -> dict[str, object]:
    """A row of `columns.RATES`: one run of this world, stopped when it has taken `budget_s` seconds of `clock`."""
    sample = world.sample()
    timed = TimedPolicy(spec.build(), clock, budget_s=budget_s)
    energy_kwh = _energy_kwh(sample, timed)
    scheduler_s = timed.elapsed_s
    p50_s, p99_s = np.quantile(timed.calls_s, [0.5, 0.99]).tolist()
    return {
        "rate": world.rate,
        "classes": world.classes,
        "policy": spec.label,
        "gpus": sum(sample.inventory.values()),
        "jobs": world.jobs,
        "placed": timed.placed,
        "finished": energy_kwh is not None,
        "calls": len(timed.calls_s),
        "p50_s": p50_s,
        "p99_s": p99_s,
        "policy_s": math.fsum(timed.calls_s),
        "scheduler_s": scheduler_s,
        "sustained": timed.sustained,
        "longest_queue": timed.longest_queue,
        "energy_kwh": energy_kwh,
    }


def keeps_up(row: Mapping[str, Any]) -> bool:
    """Whether jobs were placed at least as fast as they arrive once the cluster was full, events and queue included."""
    return bool(row["sustained"] >= row["rate"])


def _energy_kwh(sample: Sample, timed: TimedPolicy) -> float | None:
    """All jobs' energy, None where the run was stopped."""
    try:
        run = simulate(sample.submissions, sample.inventory, timed)
    except BudgetSpent:
        return None
    return math.fsum(placement.energy_kwh for placement in run.placements)


def _submission(
    job_id: str, gpus: int, submit_s: float, a100_s: float, a100_w: float, a6000_s: float, a6000_w: float
) -> Submission:
    truth = {
        name: Prediction(runtime_s=runtime_s, energy_kwh=watts * gpus * runtime_s / JOULES_PER_KWH)
        for name, runtime_s, watts in (("A100", a100_s, a100_w), ("A6000", a6000_s, a6000_w))
    }
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, gpus=gpus), truth=truth, seen=truth)


def _mean_s(job_class: JobClass, table: Sequence[JobClass]) -> float:
    """A class's mean seconds on an A100, once all classes' hours are shortened to `MEAN_JOB_S` on average."""
    mean_hours = math.fsum(c.share * c.hours for c in table) / math.fsum(c.share for c in table)
    return MEAN_JOB_S * job_class.hours / mean_hours

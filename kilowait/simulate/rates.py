"""Short jobs at 1 to 1,000 a second on a cluster just large enough: does the scheduler keep up?

The jobs and the cluster are modelled, the seconds that the scheduler takes are measured. Jobs come as a Poisson
process whose rate swings: `SWING` above its mean for half a period, as much below for the other half, so that a queue
forms although the offered load is 0.95. A class's hours become seconds, so that a job takes `MEAN_JOB_S` on average.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kilowait.errors import InputError
from kilowait.jobs import JOULES_PER_KWH, Job, Prediction
from kilowait.simulate.loop import Submission, simulate
from kilowait.simulate.scenario import Sample, sample_rng, truncated_normal
from kilowait.simulate.scenario_classes import FACTOR_SD, POWER_SD_W, SIZE_SD_SHARE, JobClass, class_table
from kilowait.simulate.study import PolicySpec
from kilowait.simulate.timing import BudgetSpent, Clock, Timed

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
        mean_factor = [1 - A6000_SHARE + A6000_SHARE * c.a6000_factor for c in table]
        scale = _seconds_an_hour(table)
        gpu_s = math.fsum(
            c.share * c.gpus * c.hours * scale * factor for c, factor in zip(table, mean_factor, strict=True)
        ) / math.fsum(c.share for c in table)
        gpus = self.rate * gpu_s / OFFERED_LOAD
        widest = max(c.gpus for c in table)
        return {
            "A100": max(widest, round(gpus * (1 - A6000_SHARE))),
            "A6000": max(widest, round(gpus * A6000_SHARE)),
        }

    def sample(self) -> Sample:
        """The one sample of this world."""
        table, rng = class_table(self.classes), sample_rng(self.seed, "test", 0)
        drawn = rng.choice(
            len(table), size=self.jobs, p=np.array([c.share for c in table]) / sum(c.share for c in table)
        )

        def column(read: Callable[[JobClass], float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
            return np.array([read(c) for c in table])[drawn]

        mean_s = column(lambda c: c.hours) * _seconds_an_hour(table)
        a100_s = truncated_normal(rng, mean_s, mean_s * SIZE_SD_SHARE)
        a6000_s = a100_s * truncated_normal(rng, column(lambda c: c.a6000_factor), FACTOR_SD)
        power = (column(lambda c: c.a100_w), column(lambda c: c.a6000_w))
        a100_w, a6000_w = (truncated_normal(rng, watts, POWER_SD_W) for watts in power)
        times_s = self._arrivals_s(rng)
        submissions = []
        for i in range(self.jobs):
            gpus = table[drawn[i]].gpus
            truth = {
                "A100": _prediction(a100_s[i], a100_w[i], gpus),
                "A6000": _prediction(a6000_s[i], a6000_w[i], gpus),
            }
            job = Job(job_id=f"job-{i:07d}", submit_s=float(times_s[i]), gpus=gpus)
            submissions.append(Submission(job=job, truth=truth, seen=truth))
        return Sample(submissions=tuple(submissions), inventory=self.inventory())

    def _arrivals_s(self, rng: np.random.Generator) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """A Poisson process of unit rate, its time changed by the inverse of the integrated rate."""
        work = np.cumsum(rng.exponential(1.0, self.jobs)) / self.rate
        half = PERIOD_S / 2
        whole, rest = np.divmod(work, PERIOD_S)
        high_area = (1 + SWING) * half
        inside = np.where(rest < high_area, rest / (1 + SWING), half + (rest - high_area) / (1 - SWING))
        return np.asarray(whole * PERIOD_S + inside)


def measure_rate(world: RateWorld, spec: PolicySpec, *, clock: Clock, budget_s: float) -> dict[str, object]:
    """A row of `records.RATES`: one run of this world, stopped when it has taken `budget_s` seconds of `clock`."""
    sample = world.sample()
    timed = Timed(spec.build(), clock, budget_s=budget_s)
    energy_kwh: float | None = None
    try:
        run = simulate(sample.submissions, sample.inventory, timed)
        energy_kwh = math.fsum(p.energy_kwh for p in run.placements)
    except BudgetSpent:
        run = None
    spent_s = timed.elapsed_s
    p50, p99 = np.quantile(timed.calls_s, [0.5, 0.99]).tolist()
    return {
        "rate": world.rate,
        "classes": world.classes,
        "policy": spec.label,
        "gpus": sum(sample.inventory.values()),
        "jobs": world.jobs,
        "placed": timed.placed,
        "finished": run is not None,
        "calls": len(timed.calls_s),
        "p50_s": p50,
        "p99_s": p99,
        "policy_s": math.fsum(timed.calls_s),
        "scheduler_s": spent_s,
        "longest_queue": timed.longest_queue,
        "energy_kwh": energy_kwh,
    }


def keeps_up(row: Mapping[str, float]) -> bool:
    """Whether jobs were placed at least as fast as they arrive, events and queue keeping included."""
    return row["placed"] >= row["rate"] * row["scheduler_s"]


def _prediction(runtime_s: float, watts: float, gpus: int) -> Prediction:
    return Prediction(runtime_s=float(runtime_s), energy_kwh=float(watts) * gpus * float(runtime_s) / JOULES_PER_KWH)


def _seconds_an_hour(table: Sequence[JobClass]) -> float:
    """What an hour of a class becomes, in seconds."""
    return MEAN_JOB_S * math.fsum(c.share for c in table) / math.fsum(c.share * c.hours for c in table)

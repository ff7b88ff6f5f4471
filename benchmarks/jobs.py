"""The jobs of the scheduling benchmarks: bursts over a stated load, so that the queue is long and the cluster full."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import JOULES_PER_KWH
from kilowait.simulate.run import Run, Submission

MEAN_S = 100.0
SIZE_SD_LOG = 1.0
BURST = 1.9
"""In a burst jobs arrive at this multiple of the mean rate, between bursts at 2 - BURST."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """A cluster of `types` GPU types with `gpus` boards each, and `jobs` jobs at an offered `load`.

    Bursts of `burst_jobs` jobs alternate with as long a quiet time. A job takes one of `sizes` GPUs.
    """

    jobs: int
    types: int = 2
    gpus: int = 32
    load: float = 0.95
    burst_jobs: int = 2000
    sizes: tuple[int, ...] = (1, 1, 2, 4)
    seed: int = 0

    @property
    def inventory(self) -> Mapping[str, int]:
        """GPUs by type."""
        return {f"type-{k:02d}": self.gpus for k in range(self.types)}


def submissions(setting: Setting) -> list[Submission]:
    """The jobs, in order of submission. Type k is up to 1.4 times as slow as the fastest and 1.3 times as hungry."""
    rng = np.random.default_rng(setting.seed)
    n, types = setting.jobs, setting.types
    sizes = rng.choice(setting.sizes, n)
    base_s = rng.lognormal(-(SIZE_SD_LOG**2) / 2, SIZE_SD_LOG, n) * MEAN_S
    runtime_s = base_s[:, None] * rng.uniform(1.0, 1.4, (n, types))
    watts = 300 * rng.uniform(0.7, 1.3, (n, types)) * sizes[:, None]
    gpu_s = float((sizes * runtime_s.mean(axis=1)).sum())
    span_s = gpu_s / (setting.load * setting.gpus * types)
    return [
        _submission(f"job-{i:07d}", t, int(sizes[i]), runtime_s[i].tolist(), watts[i].tolist(), setting.inventory)
        for i, t in enumerate(_arrivals_s(rng, setting, span_s).tolist())
    ]


def _arrivals_s(rng: np.random.Generator, setting: Setting, span_s: float) -> np.ndarray:
    """Arrivals of a Poisson process whose rate alternates, stretched so that they fill `span_s`."""
    arrivals = np.cumsum(rng.exponential(1.0, setting.jobs))  # in jobs of mean rate 1, before the bursts
    phase = np.floor(arrivals / setting.burst_jobs).astype(int)
    within = arrivals - phase * setting.burst_jobs
    rate = np.where(phase % 2 == 0, BURST, 2 - BURST)
    lengths = np.where(np.arange(phase[-1] + 1) % 2 == 0, 1 / BURST, 1 / (2 - BURST)) * setting.burst_jobs
    begins = np.concatenate([[0.0], np.cumsum(lengths)])
    times = begins[phase] + within / rate
    return times * (span_s / times[-1])


def _submission(
    job_id: str,
    submit_s: float,
    gpus: int,
    runtime_s: Sequence[float],
    watts: Sequence[float],
    types: Mapping[str, int],
) -> Submission:
    truth = {
        gpu_type: Prediction(runtime_s=t, energy_kwh=w * t / JOULES_PER_KWH)
        for gpu_type, t, w in zip(types, runtime_s, watts, strict=True)
    }
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, gpus=gpus), truth=truth, seen=truth)


def offered_load(jobs: Sequence[Submission], inventory: Mapping[str, int]) -> float:
    """GPU-seconds of all jobs, averaged over the types, over those that the cluster has until the last submission."""
    gpu_s = math.fsum(s.job.gpus * sum(p.runtime_s for p in s.truth.values()) / len(s.truth) for s in jobs)
    return gpu_s / sum(inventory.values()) / jobs[-1].job.submit_s


def mean_queue(run: Run) -> float:
    """Jobs that wait on average until the last submission or start (Little's law)."""
    span_s = max(p.start_s for p in run.placements)
    return math.fsum(p.wait_s for p in run.placements) / span_s

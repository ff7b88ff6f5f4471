"""When the jobs of Slurm's queue are expected to start, what a new one would get, which jobs will hit their limit.

The queue is run on with a policy that plans by time limits, as Slurm's backfill does, and with run times that are
drawn: of a job whose comment has a prediction around that, log-normal; of any other around half of its limit, which is
assumed. None takes longer than its limit. The start is the median of the draws and the interval their 5% and 95%
quantiles; nobody else submits meanwhile. All numbers are modelled.
"""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from kilowait.advise.advice import ExpectedWait
from kilowait.advise.job_comment import read_comment
from kilowait.advise.slurm.queue_cluster import START_S, QueueCluster, job_in_queue, limit_predictions
from kilowait.advise.slurm.slurm_queue import SlurmJob
from kilowait.cluster.advance import advance
from kilowait.cluster.events import JobSubmitted
from kilowait.cluster.state import Cluster
from kilowait.core.errors import JobRefused
from kilowait.core.log_normal import TO_END
from kilowait.policies import Decision, Policy
from kilowait.policies.conservative import conservative
from kilowait.simulate.ahead import Supposed, run_ahead
from kilowait.simulate.outlook import PRIOR_SD, quantile

DRAWS, LEAST_DRAWS = 40, 5
WORK = 4000
"""Jobs placed over all draws: a longer queue gets fewer of them."""
UNKNOWN_SHARE, UNKNOWN_SD = 0.5, 1.0
"""Of its limit that a job without a prediction is taken to last, and the deviation of the logarithm; assumed."""
NEW_JOB = "a new job"
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job that might be submitted, to the pools that it is allowed."""

    gpus: int
    nodes: int
    allowed: frozenset[str]
    limit_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitRisk:
    """A running job and how likely its limit ends it."""

    job: SlurmJob
    predicted_s: float
    probability: float


def expected_waits(found: QueueCluster, seed: int = 0) -> dict[str, ExpectedWait]:
    """By job id, when each job that waits is expected to start; one that would never start is left out."""
    return _waits(found, found.cluster, seed, None)


def new_job_waits(
    found: QueueCluster, new: NewJob, seed: int = 0, within_s: float = math.inf
) -> dict[str, ExpectedWait]:
    """By pool that it may be held to, when a new job behind all others would start there.

    Nothing where the queue cannot be run on once in `within_s` seconds; an interval only from enough draws.
    """
    trial, pools = found.cluster.copy(), {}
    for pool in sorted(new.allowed):
        name, allowed = f"{NEW_JOB} on {pool}", frozenset((pool,))
        job = job_in_queue(name, new.gpus, new.nodes, allowed, len(found.jobs) + 1)
        limits = limit_predictions(allowed, new.limit_s)
        with suppress(JobRefused):
            advance(trial, JobSubmitted(time_s=START_S, job=job, predictions=limits))
            pools[name] = pool
    waits = _waits(found, trial, seed, set(pools), within_s)  # all at once: no pool is another's, and all are last
    return {pool: waits[name] for name, pool in pools.items() if name in waits}


def limit_risks(found: QueueCluster, least: float = 0.05) -> list[LimitRisk]:
    """Running jobs with a prediction whose limit ends them with at least this probability, the likeliest first."""
    risks = []
    for job in found.jobs.values():
        predicted = predicted_time(found, job)
        if job.runs and predicted is not None and math.isfinite(job.limit_s):
            expected_s, sd = predicted
            beyond = _beyond(job.limit_s, expected_s, sd) / max(_beyond(job.used_s, expected_s, sd), 1e-300)
            risks.append(LimitRisk(job=job, predicted_s=expected_s, probability=min(1.0, beyond)))
    return sorted((risk for risk in risks if risk.probability >= least), key=lambda risk: -risk.probability)


def _beyond(seconds: float, expected_s: float, sd: float) -> float:
    """How likely a job takes longer."""
    return 1.0 if seconds <= 0 else 1 - _NORMAL.cdf(math.log(seconds / expected_s) / sd)


def _waits(
    found: QueueCluster, cluster: Cluster, seed: int, wanted: set[str] | None, within_s: float = math.inf
) -> dict[str, ExpectedWait]:
    rng, jobs = np.random.default_rng(seed), len(cluster.waiting) + len(cluster.active)
    policy = _until(time.monotonic() + within_s)
    runs = []
    with suppress(_OutOfTimeError):
        for _ in range(max(LEAST_DRAWS, min(DRAWS, WORK // (1 + jobs)))):
            runs.append(run_ahead(cluster.copy(), policy, START_S, _supposed(found, rng), wanted))  # noqa: PERF401 (these are kept)
    return {
        job_id: _wait([run[job_id].start_s - START_S for run in runs if job_id in run])
        for job_id in dict.fromkeys(job_id for run in runs for job_id in run)
    }


class _OutOfTimeError(Exception):
    """There is no time for another draw."""


def _until(end_s: float) -> Policy:
    """Backfill, until a moment on the monotonic clock."""
    planned = conservative()

    def policy(cluster: Cluster) -> list[Decision]:
        if time.monotonic() > end_s:
            raise _OutOfTimeError
        return planned(cluster)

    return policy


def _wait(waits: Sequence[float]) -> ExpectedWait:
    low, middle, high = np.quantile(waits, [0.05, 0.5, 0.95]).tolist()
    enough = len(waits) >= LEAST_DRAWS
    return ExpectedWait(wait_s=middle, low_s=low if enough else None, high_s=high if enough else None)


def _supposed(found: QueueCluster, rng: np.random.Generator) -> Supposed:
    """Run times as they are drawn, at most as long as the limit, which the policy takes for the run time."""

    def supposed(job_id: str, limit_s: float, run_s: float) -> float:
        job = found.jobs.get(job_id)
        predicted = predicted_time(found, job) if job else None
        expected_s, sd = predicted or (UNKNOWN_SHARE * limit_s, UNKNOWN_SD)
        return max(run_s, min(limit_s, quantile(rng.uniform(), expected_s, run_s, sd)))

    return supposed


def predicted_time(found: QueueCluster, job: SlurmJob) -> tuple[float, float] | None:
    """(expected seconds, deviation of their logarithm) by the comment, of the type where it runs or may run."""
    comment = read_comment(job.comment)
    if comment is None or not comment.seconds_by_type:
        return None
    active = found.cluster.active.get(job.job_id)
    pools = [active.gpu_type] if active else sorted(found.allowed(job.partitions, job.gpu_word, job.constraint))
    times: Mapping[str, tuple[float, float | None, float | None]] = comment.seconds_by_type
    known = [times[found.pools[pool].gpu_type] for pool in pools if found.pools[pool].gpu_type in times]
    if not known:
        return None
    expected_s, _, high_s = max(known, key=lambda of: of[0])
    sd = PRIOR_SD if high_s is None else math.log(high_s / expected_s) / TO_END
    return expected_s, max(sd, 0.01)

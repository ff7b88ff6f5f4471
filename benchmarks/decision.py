"""One decision of a policy on a full cluster with a long queue, timed (see benchmarks/scheduling.py)."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.jobs import Setting, submissions
from kilowait.cluster.advance import advance
from kilowait.cluster.events import AttemptFinished, GpusJoined, JobPlaced, JobSubmitted
from kilowait.cluster.state import Cluster
from kilowait.policies import POLICIES, Policy
from kilowait.simulate.run import Submission

WAITING = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds of one decision; `first_ms` builds the views that later ones find ready."""

    policy: str
    types: int
    waiting: int
    decisions: int
    first_ms: float
    p50_ms: float
    p99_ms: float


def latency(name: str, chosen: Policy, base: Setting, decisions: int) -> Latency:
    """Decisions on a full cluster with a long queue, one job ending before each and one coming after."""
    setting = replace(base, jobs=WAITING + base.gpus * base.types + decisions)
    jobs = submissions(setting)
    cluster, coming = _full(jobs, setting.inventory)
    rng = np.random.default_rng(0)
    spent_ms: list[float] = []
    for submission in coming[: decisions + 1]:
        ended = list(cluster.active)[int(rng.integers(len(cluster.active)))]
        advance(cluster, AttemptFinished(time_s=cluster.now_s, job_id=ended, attempt=1))
        started = time.perf_counter()
        placements = chosen(cluster)
        spent_ms.append((time.perf_counter() - started) * 1e3)
        for decision in placements:
            _place(cluster, decision.job_id, decision.gpu_type)
        _submit(cluster, submission)
    p50, p99 = np.quantile(spent_ms[1:], [0.5, 0.99]).tolist()
    return Latency(
        policy=name,
        types=setting.types,
        waiting=len(cluster.waiting),
        decisions=decisions,
        first_ms=spent_ms[0],
        p50_ms=p50,
        p99_ms=p99,
    )


def _full(jobs: Sequence[Submission], inventory: Mapping[str, int]) -> tuple[Cluster, Sequence[Submission]]:
    """A cluster whose GPUs are taken, with WAITING jobs in the queue, and the jobs that are still to come."""
    cluster = Cluster()
    for gpu_type, gpus in inventory.items():
        advance(cluster, GpusJoined(time_s=0.0, node="benchmark", gpu_type=gpu_type, gpus=gpus))
    first_fit, used = POLICIES["simple"](), 0
    while len(cluster.waiting) < WAITING:
        _submit(cluster, jobs[used])
        used += 1
        for decision in first_fit(cluster):
            _place(cluster, decision.job_id, decision.gpu_type)
    return cluster, jobs[used:]


def _submit(cluster: Cluster, submission: Submission) -> None:
    time_s = max(cluster.now_s, submission.job.submit_s)
    advance(cluster, JobSubmitted(time_s=time_s, job=submission.job, predictions=submission.seen))


def _place(cluster: Cluster, job_id: str, gpu_type: str) -> None:
    gpus = cluster.waiting[job_id].gpus[gpu_type]
    advance(cluster, JobPlaced(time_s=cluster.now_s, job_id=job_id, attempt=1, gpu_type=gpu_type, gpus=gpus))

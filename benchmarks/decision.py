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
    """Milliseconds of a decision, of clock and core; `first_ms` builds views that later ones find ready."""

    policy: str
    types: int
    waiting: int
    decisions: int
    first_ms: float
    p50_ms: float
    p99_ms: float
    cpu_p50_ms: float
    cpu_p99_ms: float


def latency(name: str, chosen: Policy, base: Setting, decisions: int, waiting: int = WAITING) -> Latency:
    """Decisions on a full cluster with `waiting` jobs in the queue, one ending before each and one coming after."""
    setting = replace(base, jobs=waiting + base.gpus * base.types + 10 + decisions)
    jobs = submissions(setting)
    cluster, coming = _full(jobs, setting.inventory, waiting)
    rng = np.random.default_rng(0)
    spent_ms, cpu_ms = list[float](), list[float]()
    for submission in coming[: decisions + 1]:
        ended = list(cluster.active)[int(rng.integers(len(cluster.active)))]
        advance(cluster, AttemptFinished(time_s=cluster.now_s, job_id=ended, attempt=1))
        started, cpu_s = time.perf_counter(), time.process_time()
        placements = chosen(cluster)
        spent_ms.append((time.perf_counter() - started) * 1e3)
        cpu_ms.append((time.process_time() - cpu_s) * 1e3)
        for decision in placements:
            _place(cluster, decision.job_id, decision.gpu_type)
        _submit(cluster, submission)
    p50, p99 = np.quantile(spent_ms[1:], [0.5, 0.99]).tolist()
    cpu_p50, cpu_p99 = np.quantile(cpu_ms[1:], [0.5, 0.99]).tolist()
    return Latency(
        policy=name,
        types=setting.types,
        waiting=len(cluster.waiting),
        decisions=decisions,
        first_ms=spent_ms[0],
        p50_ms=p50,
        p99_ms=p99,
        cpu_p50_ms=cpu_p50,
        cpu_p99_ms=cpu_p99,
    )


def submitted_at_once(base: Setting, waiting: int) -> Cluster:
    """An empty cluster to which so many jobs have come at one instant."""
    setting = replace(base, jobs=waiting)
    cluster = _joined(setting.inventory)
    for submission in submissions(setting):
        advance(
            cluster, JobSubmitted(time_s=0.0, job=replace(submission.job, submit_s=0.0), predictions=submission.seen)
        )
    return cluster


def plain_sort_ms(base: Setting, waiting: int) -> float:
    """Milliseconds of the core to sort such a queue by the least GPU-seconds in plain Python; the least of three."""
    queue = list(submitted_at_once(base, waiting).queue())

    def sort_ms() -> float:
        began_s = time.process_time()
        sorted(queue, key=lambda w: min(w.gpus[t] * w.predictions[t].runtime_s for t in w.gpus))
        return (time.process_time() - began_s) * 1e3

    return min(sort_ms() for _ in range(3))


def _joined(inventory: Mapping[str, int]) -> Cluster:
    cluster = Cluster()
    for gpu_type, gpus in inventory.items():
        advance(cluster, GpusJoined(time_s=0.0, node="benchmark", gpu_type=gpu_type, gpus=gpus))
    return cluster


def _full(
    jobs: Sequence[Submission], inventory: Mapping[str, int], waiting: int
) -> tuple[Cluster, Sequence[Submission]]:
    """A cluster whose GPUs are taken, with so many jobs in the queue, and the jobs that are still to come."""
    cluster = _joined(inventory)
    first_fit, used = POLICIES["simple"](), 0
    while len(cluster.waiting) < waiting:
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

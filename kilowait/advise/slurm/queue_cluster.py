"""Slurm's nodes and jobs in kilowait's own state machine, GPUs alone.

Nodes of one GPU type that the same partitions and features lead to are one pool, and stand as a GPU type of the
cluster; a job may use the pools that its partition, type and constraint allow. The policy sees what Slurm's backfill
sees, the time limits; how long jobs really take is supposed apart from that (`queue_outlook`).

Not covered: cores, memory, licences, QOS and association limits, reservations, preemption.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kilowait.advise.slurm.gpu_words import catalogue_type
from kilowait.advise.slurm.partitions import GpuBoards, SlurmNode, SlurmPartition, satisfies
from kilowait.advise.slurm.slurm_queue import SlurmJob
from kilowait.cluster.advance import advance
from kilowait.cluster.events import GpusJoined, JobPlaced, JobSubmitted
from kilowait.cluster.state import Cluster
from kilowait.core.errors import IllegalEvent, JobRefused
from kilowait.core.jobs import Held, Job, Prediction

LONGEST_S = 365 * 86400.0
"""A job without a limit."""
START_S = 2 * LONGEST_S
"""The present on the cluster's clock: jobs that run began before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPool:
    """`count` boards of one type on each of some nodes, with the partitions and features that lead to them."""

    name: str
    word: str
    gpu_type: str
    partitions: frozenset[str]
    features: frozenset[str]
    nodes: Mapping[str, int]

    def takes(self, partitions: Iterable[str], word: str, constraint: str) -> bool:
        """Whether a job of these partitions may use it."""
        is_type = not word or word == self.word or catalogue_type(word) == self.gpu_type
        return is_type and not self.partitions.isdisjoint(partitions) and satisfies(constraint, self.features)


@dataclass(frozen=True, kw_only=True)
class QueueCluster:
    """The cluster as it stands, its pools by name, the jobs in it by id, and those left out with the reason."""

    cluster: Cluster
    pools: Mapping[str, GpuPool]
    jobs: Mapping[str, SlurmJob]
    left_out: Mapping[str, str]

    def allowed(self, partitions: Iterable[str], word: str, constraint: str) -> frozenset[str]:
        """The pools that a job may use."""
        return frozenset(name for name, pool in self.pools.items() if pool.takes(partitions, word, constraint))


def pools_of(partitions: Iterable[SlurmPartition]) -> dict[str, GpuPool]:
    """The pools by name, which is the type's where a type has one pool."""
    nodes: dict[str, SlurmNode] = {}
    leading: dict[str, set[str]] = {}
    for partition in partitions:
        for node in partition.nodes:
            if node.up:
                nodes[node.name] = node
                leading.setdefault(node.name, set()).add(partition.name)
    grouped: dict[tuple[str, frozenset[str], frozenset[str]], dict[str, GpuBoards]] = {}
    for name, node in nodes.items():
        for boards in node.boards:
            key = (boards.gpu_type or boards.word or "gpu", frozenset(leading[name]), node.features)
            grouped.setdefault(key, {})[name] = boards
    pools: dict[str, GpuPool] = {}
    for (gpu_type, partitions_of, features), boards_by_node in grouped.items():
        alone = sum(key[0] == gpu_type for key in grouped) == 1
        name = gpu_type if alone else f"{gpu_type} in {'+'.join(sorted(partitions_of))}"
        name = name if name not in pools else f"{name} with {'+'.join(sorted(features))}"
        pools[name] = GpuPool(
            name=name,
            word=next(iter(boards_by_node.values())).word,
            gpu_type=gpu_type,
            partitions=partitions_of,
            features=features,
            nodes={node: boards.count for node, boards in boards_by_node.items()},
        )
    return pools


def queue_cluster(partitions: Iterable[SlurmPartition], jobs: Sequence[SlurmJob]) -> QueueCluster:
    """The state machine brought to where Slurm is."""
    pools = pools_of(partitions)
    found = QueueCluster(cluster=Cluster(order=tuple(pools)), pools=pools, jobs={}, left_out={})
    for name, pool in pools.items():
        for node, count in pool.nodes.items():
            advance(found.cluster, GpusJoined(time_s=0.0, node=node, gpu_type=name, gpus=count))
    for job in sorted((job for job in jobs if job.runs), key=lambda job: -job.used_s):
        _take_in(found, job, max(0.0, START_S - job.used_s))
    found.cluster.now_s = START_S
    waiting = [job for job in jobs if not job.runs]
    for rank, job in enumerate(sorted(waiting, key=lambda job: -job.priority)):
        _take_in(found, job, START_S, rank)
    return found


def _take_in(found: QueueCluster, job: SlurmJob, time_s: float, rank: int = 0) -> None:
    """One job; what the state machine cannot have is left out, and said so."""
    left_out, jobs = found.left_out, found.jobs
    assert isinstance(left_out, dict)
    assert isinstance(jobs, dict)
    if not job.gpus:
        left_out[job.job_id] = "asks for no GPU"
    elif not job.runs and not job.may_start:
        left_out[job.job_id] = f"waits for something else: {job.reason}"
    else:
        try:
            _submit(found, job, time_s, rank)
            jobs[job.job_id] = job
        except (JobRefused, IllegalEvent) as error:
            left_out[job.job_id] = str(error)


def _submit(found: QueueCluster, job: SlurmJob, time_s: float, rank: int) -> None:
    allowed = found.allowed(job.partitions, job.gpu_word, job.constraint)
    if job.runs:
        allowed = frozenset(name for name in allowed if not set(job.nodes).isdisjoint(found.pools[name].nodes))
    limits = limit_predictions(allowed, job.limit_s)
    submitted = job_in_queue(job.job_id, job.gpus, job.node_count, allowed, rank)
    advance(found.cluster, JobSubmitted(time_s=time_s, job=submitted, predictions=limits))
    if not job.runs:
        return
    pool = min(allowed)
    told_apart = bool(found.cluster.boards)
    where = tuple(Held(node=node, gpus=gpus) for node, gpus in _shares(job).items()) if told_apart else ()
    placed = JobPlaced(time_s=time_s, job_id=job.job_id, attempt=1, gpu_type=pool, gpus=job.gpus, where=where)
    advance(found.cluster, placed)


def job_in_queue(job_id: str, gpus: int, nodes: int, allowed: frozenset[str], rank: float) -> Job:
    """A job as the policy sees it: its place in the queue is `rank`."""
    return Job(job_id=job_id, submit_s=float(rank), gpus=gpus, allowed=allowed, one_node=nodes == 1)


def limit_predictions(allowed: Iterable[str], limit_s: float) -> dict[str, Prediction]:
    """What Slurm's backfill plans with."""
    seconds = limit_s if math.isfinite(limit_s) and limit_s > 0 else LONGEST_S
    return {name: Prediction(runtime_s=seconds, energy_kwh=0.0) for name in allowed}


def _shares(job: SlurmJob) -> dict[str, int]:
    """GPUs by node: squeue tells the whole alone."""
    count = max(1, len(job.nodes))
    each, more = divmod(job.gpus, count)
    return {node: each + (place < more) for place, node in enumerate(job.nodes) if each + (place < more)}

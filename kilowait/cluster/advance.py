"""The state machine: the one function that changes a cluster.

A driver (the simulator, a live scheduler) takes events in with `advance` and asks a policy what to place. Nothing
here reads a clock: time comes with the events.

What nodes do is in `kilowait.cluster.nodes`. Not covered: partitions of a GPU into isolated instances.
"""

from collections.abc import Iterable
from math import inf
from typing import assert_never

from msgspec.structs import replace

from kilowait.cluster import anchoring, late_prediction, nodes
from kilowait.cluster.events import (
    AttemptFailed,
    AttemptFinished,
    Event,
    GpusHeld,
    GpusJoined,
    JobCancelled,
    JobFailed,
    JobPlaced,
    JobPostponed,
    JobPredicted,
    JobPreempted,
    JobProgressed,
    JobSubmitted,
    LimitSet,
    MaintenanceSet,
    NodeDrained,
    NodeLost,
    NodesReserved,
    NodeUndrained,
    QuotaSet,
    SignalReported,
)
from kilowait.cluster.standing import Active, Postponed, Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.errors import IllegalEvent, InputError, JobRefused
from kilowait.core.jobs import Job
from kilowait.core.units import WHOLE


def advance(cluster: Cluster, event: Event) -> None:
    """Take one event in, changing `cluster` in place.

    Raises JobRefused when a submitted job can never run, and IllegalEvent when the event cannot follow the present
    state; either way the cluster is left as it was.
    """
    if not cluster.now_s <= event.time_s < inf:
        raise IllegalEvent(f"{event}: time_s must be finite and not before the present {cluster.now_s!r}")
    usage, job_id = cluster._usage, getattr(event, "job_id", "")
    running = None if usage is None else cluster.active.get(job_id)
    match event:
        case JobSubmitted():
            _submit(cluster, event)
        case JobPredicted():
            late_prediction.take_in(cluster, event)
        case JobPostponed():
            _postpone(cluster, event)
        case JobPlaced():
            _start(cluster, event)
        case LimitSet():
            anchoring.limited(cluster, event)
        case JobProgressed():
            anchoring.take_in(cluster, event)
        case AttemptFinished():
            anchoring.ended(cluster, cluster.release(event.job_id, event.attempt), event.time_s)
            _close(cluster, event.job_id, event.time_s, well=True)
        case AttemptFailed():
            active = cluster.release(event.job_id, event.attempt)
            _wait_again(cluster, active, active.remaining)
        case JobPreempted():
            _check_checkpoint(cluster, event)
            _wait_again(cluster, cluster.release(event.job_id, event.attempt), event.remaining)
        case JobCancelled():
            _cancel(cluster, event)
        case JobFailed():
            _give_up(cluster, event)
        case GpusJoined():
            nodes.join(cluster, event)
        case GpusHeld():
            nodes.hold(cluster, event)
        case NodeDrained():
            nodes.drain(cluster, event)
        case NodeUndrained():
            nodes.undrain(cluster, event)
        case NodeLost():
            nodes.lose(cluster, event)
        case SignalReported():
            cluster.signals[event.signal.name] = event.signal
        case QuotaSet():
            cluster.quotas.pop(event.quota.name, None)
            cluster.quotas |= {} if event.quota.limits_nothing else {event.quota.name: event.quota}
        case MaintenanceSet():
            nodes.maintain(cluster, event)
        case NodesReserved():
            nodes.reserve(cluster, event)
        case _:
            assert_never(event)
    cluster.now_s = event.time_s
    if usage is not None and running is not None and job_id not in cluster.active:
        usage.add(running, event.time_s)


def replay(events: Iterable[Event], order: Iterable[str] = ()) -> Cluster:
    """The cluster that these events lead to, from an empty one; raises what `advance` raises.

    Its `scale` and `recent` are kept from the first event on, in case a policy looks at them.
    """
    cluster = Cluster(order=tuple(order))
    cluster.count_submissions()
    for event in events:
        advance(cluster, event)
    return cluster


def _submit(cluster: Cluster, event: JobSubmitted) -> None:
    job, job_id, predictions = event.job, event.job.job_id, event.predictions
    if job_id in cluster.active or job_id in cluster.over or cluster.entry(job_id) is not None:
        raise IllegalEvent(f"job {job_id}: submitted before; give it another id")
    gpus = cluster.possible(job, predictions)
    if not gpus:
        raise JobRefused(f"job {job_id}: can never run here: {cluster.refusal(job, predictions)}")
    waiting = Waiting(job=job, predictions=predictions, whole=predictions, attempt=1, gpus=gpus)
    if pending := [parent for parent in job.after if parent not in cluster.over]:
        cluster.lines.dependents.stand(waiting, pending)
    elif job.array is None or cluster.lines.enter(waiting, job.array):
        _enter(cluster, waiting)


def _enter(cluster: Cluster, waiting: Waiting) -> None:
    """Let a job wait by what is seen of its program by now."""
    anchored = anchoring.anchored(cluster, waiting.job, waiting.whole)
    cluster.submit(waiting if anchored is waiting.whole else replace(waiting, predictions=anchored))


def _postpone(cluster: Cluster, event: JobPostponed) -> None:
    job_id, until_s, gpu_type = event.job_id, event.until_s, event.gpu_type
    if job_id not in cluster.waiting:
        raise IllegalEvent(f"job {job_id}: kept, but it does not wait")
    if until_s is None:
        cluster.kept.pop(job_id, None)
        return
    cluster.kept[job_id] = Postponed(until_s=until_s, gpu_type=gpu_type, since_s=event.time_s, amounts=event.amounts)


def _start(cluster: Cluster, event: JobPlaced) -> None:
    _check_placement(cluster, event)
    waiting = cluster.dequeue(event.job_id)
    gpus, where = event.gpus, event.where
    if cluster.boards:
        where = where or cluster.locate(waiting, event.gpu_type)
        gpus = cluster.boards[event.gpu_type].take(where, waiting.job.gpu_milli)
    predictions = waiting.predictions
    if event.limit_w is not None:
        predictions = {**predictions, event.gpu_type: predictions[event.gpu_type].under(event.limit_w)}
    active = Active(
        job=waiting.job,
        predictions=predictions,
        whole=waiting.whole,
        attempt=event.attempt,
        gpu_type=event.gpu_type,
        gpus=event.gpus,
        placed_s=event.time_s,
        remaining=waiting.remaining,
        ready_s=waiting.ready_s,
        where=where,
        limit_w=event.limit_w,
    )
    cluster.start(active, gpus)


def _wait_again(cluster: Cluster, active: Active, remaining: float) -> None:
    """Back to its old place in the queue for the next attempt, with `remaining` of the work to do."""
    job, whole, predictions = active.job, active.whole, active.predictions
    if remaining < active.remaining:
        predictions = {t: prediction.left(remaining, job.checkpoint_s or 0.0) for t, prediction in whole.items()}
    waiting = Waiting(
        job=job,
        predictions=predictions,
        whole=whole,
        attempt=active.attempt + 1,
        gpus=cluster.possible(job, whole),
        remaining=remaining,
        ready_s=active.ready_s,
    )
    if waiting.gpus:
        cluster.enqueue(waiting)
    else:  # nodes have left since it was placed
        cluster.stranded[job.job_id] = waiting


def _check_checkpoint(cluster: Cluster, event: JobPreempted) -> None:
    """Raises IllegalEvent for a job that has no checkpoints, and for a checkpoint that cannot be."""
    active = cluster.active.get(event.job_id)
    if active is None:
        return  # and `release` says so
    if active.job.checkpoint_s is None:
        raise IllegalEvent(f"job {event.job_id}: preempted, but it cannot go on from a checkpoint")
    if not 0 < event.remaining <= active.remaining:
        limit = active.remaining
        raise IllegalEvent(f"job {event.job_id}: remaining must be > 0 and <= {limit!r}, got {event.remaining!r}")


def _check_placement(cluster: Cluster, event: JobPlaced) -> None:
    """Raises IllegalEvent unless the job waits, may run on the type and finds its GPUs free."""
    gpu_type, waiting = event.gpu_type, cluster.waiting.get(event.job_id)
    if waiting is None:
        problem = "placed, but it does not wait"
    elif event.attempt != waiting.attempt:
        problem = f"attempt {waiting.attempt} is next, got {event.attempt!r}"
    elif gpu_type not in waiting.gpus:
        problem = f"may not run on {gpu_type}"
    elif event.gpus != waiting.gpus[gpu_type]:
        problem = f"takes {waiting.gpus[gpu_type]} GPUs on {gpu_type}, got {event.gpus!r}"
    elif cluster.boards or event.where:
        problem = _wrong_place(cluster, event, waiting.job)
    elif event.gpus > cluster.free[gpu_type]:
        problem = f"needs {event.gpus} GPUs on {gpu_type}, {cluster.free[gpu_type]} are free"
    else:
        return
    if problem:
        raise IllegalEvent(f"job {event.job_id}: {problem}")


def _wrong_place(cluster: Cluster, event: JobPlaced, job: Job) -> str:
    """Why a job cannot have the boards it was given, or any where that was left to the cluster; "" if it can."""
    gpu_type, gpus, where = event.gpu_type, event.gpus, event.where
    if not cluster.boards:
        return f"placed on {where}, but the boards of this cluster are not told apart"
    if where:
        free = cluster.boards[gpu_type].allows(where, gpus, job.gpu_milli, job.one_node)
        return "" if free else f"cannot have {where} on {gpu_type}"
    if cluster.boards[gpu_type].choose(gpus, job.gpu_milli, job.one_node):
        return ""
    if job.gpu_milli < WHOLE:
        return f"needs {job.gpu_milli} thousandths of one GPU on {gpu_type}, no board has so much left"
    scope, count = (" of one node", cluster.boards[gpu_type].most) if job.one_node else ("", cluster.free[gpu_type])
    return f"needs {gpus} GPUs{scope} on {gpu_type}, {count} are free"


def _cancel(cluster: Cluster, event: JobCancelled) -> None:
    if event.job_id in cluster.active:
        cluster.release(event.job_id, cluster.active[event.job_id].attempt)
    elif not _withdraw(cluster, event.job_id):
        raise IllegalEvent(f"job {event.job_id}: cancelled, but it neither waits nor runs")
    _close(cluster, event.job_id, event.time_s, well=False)


def _give_up(cluster: Cluster, event: JobFailed) -> None:
    if not _withdraw(cluster, event.job_id):
        raise IllegalEvent(f"job {event.job_id}: given up, but it does not wait")
    _close(cluster, event.job_id, event.time_s, well=False)


def _close(cluster: Cluster, job_id: str, time_s: float, *, well: bool) -> None:
    """A job is over; where it was a task of an array, the next one may have its turn, and so may jobs after it."""
    cluster.close(job_id)
    if (waiting := cluster.lines.over(job_id)) is not None:
        _have_turn(cluster, waiting)
    for child in cluster.lines.dependents.over(job_id, well=well):
        ready = replace(child, ready_s=time_s)
        if child.job.array is None or cluster.lines.enter(ready, child.job.array):
            _have_turn(cluster, ready)


def _have_turn(cluster: Cluster, waiting: Waiting) -> None:
    """A job may run from now on."""
    waiting = replace(waiting, gpus=cluster.possible(waiting.job, waiting.whole))
    if not waiting.gpus:  # nodes have left since it was submitted
        cluster.stranded[waiting.job.job_id] = waiting
        return
    try:
        _enter(cluster, waiting)
    except InputError:  # a policy's ranking has no number for it, which is no fault of the job that is over
        cluster.stranded[waiting.job.job_id] = waiting


def _withdraw(cluster: Cluster, job_id: str) -> bool:
    """Take a job out of the queue; False where it does not wait."""
    if job_id in cluster.waiting:
        cluster.dequeue(job_id)
        return True
    return cluster.stranded.pop(job_id, None) is not None or cluster.lines.withdraw(job_id)

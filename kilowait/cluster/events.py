"""What happens to a cluster, one frozen record a happening; `kilowait.cluster.advance.advance` takes them in.

A recorded log of these replays to the same state, and carries the predictions as they were seen at submission. They
are msgspec structs, not dataclasses: every job makes three, and a frozen dataclass takes fifteen times as long to make.
A migration is a preemption and a placement at the same instant.
"""

from collections.abc import Mapping

from msgspec import Struct

from kilowait.core.jobs import Held, Job, Prediction
from kilowait.core.maintenance import Maintenance, NodeReservation
from kilowait.core.over_time.signals import Signal
from kilowait.core.quotas import Quota


class GpusJoined(Struct, frozen=True, kw_only=True, gc=False):
    """`gpus` boards of one type on one node became usable. Ways out: the node drains, or is lost.

    `memory_bytes` is the memory of each board, None when unknown.
    """

    time_s: float
    node: str
    gpu_type: str
    gpus: int
    memory_bytes: int | None = None


class GpusHeld(Struct, frozen=True, kw_only=True, gc=False):
    """From now on `gpus` boards of a node are held by work that is not scheduled here, and are not free."""

    time_s: float
    node: str
    gpu_type: str
    gpus: int


class NodeDrained(Struct, frozen=True, kw_only=True, gc=False):
    """A node takes no new work: its free boards are withdrawn, the others leave as their jobs end.

    Ways out: undrained, or lost.
    """

    time_s: float
    node: str


class NodeUndrained(Struct, frozen=True, kw_only=True, gc=False):
    """A node that drained takes work again: its boards are back, but for those on which jobs still run."""

    time_s: float
    node: str


class NodeLost(Struct, frozen=True, kw_only=True, gc=False):
    """A node is gone, after every attempt on it has ended. It may join again."""

    time_s: float
    node: str


class SignalReported(Struct, frozen=True, kw_only=True, gc=False):
    """From now on this is what is known and foreseen of a signal, in place of what was said of it before."""

    time_s: float
    signal: Signal


class QuotaSet(Struct, frozen=True, kw_only=True, gc=False):
    """From now on this is the quota of its name; one that limits nothing is none any more."""

    time_s: float
    quota: Quota


class MaintenanceSet(Struct, frozen=True, kw_only=True, gc=False):
    """From now on this is when a node is to be maintained, in place of what was said before; a past one is none."""

    time_s: float
    maintenance: Maintenance


class NodesReserved(Struct, frozen=True, kw_only=True, gc=False):
    """From now on this is the reservation of its name; one that has ended is none any more."""

    time_s: float
    reservation: NodeReservation


class JobSubmitted(Struct, frozen=True, kw_only=True, gc=False):
    """A job asks to run, with the predictions (by GPU type) a policy may see. Ways out: placed, failed, cancelled.

    `dry_run` is what its dry run found and assumed, for people; empty where there was none.
    """

    time_s: float
    job: Job
    predictions: Mapping[str, Prediction]
    dry_run: str = ""


class JobPredicted(Struct, frozen=True, kw_only=True, gc=False):
    """The prediction is there for which a guess stood at submission: of as many GPU types as that, or more.

    A job that waits for its first attempt is placed by it from now on; of one that runs, ran or is over nothing changes
    any more. `problem` says why there is no prediction; then the guess stays. `dry_run` is as in JobSubmitted.
    """

    time_s: float
    job_id: str
    predictions: Mapping[str, Prediction] = {}
    problem: str | None = None
    dry_run: str = ""


class JobPostponed(Struct, frozen=True, kw_only=True, gc=False):
    """A waiting job is kept until `until_s`, to start on a type then; None: it is kept no more, and waits as others do.

    `amounts` are what its energy comes to by signal (`kilowait.core.over_time.amounts`), as foreseen at this time: on
    that type at once, and then.
    """

    time_s: float
    job_id: str
    until_s: float | None
    gpu_type: str = ""
    amounts: Mapping[str, tuple[float, float]] = {}


class JobPlaced(Struct, frozen=True, kw_only=True, gc=False):
    """A waiting job got its GPUs and attempt number `attempt` began.

    `gpus` counts boards; a share counts as one. `where` says which boards these are, as `Cluster.locate` chose them;
    () leaves the choice to the cluster, and is all there is to say while no type has several nodes and no job a share.
    `limit_w` are the watts that each of its boards is limited to, None for the boards' own limit.
    Ways out: finished, failed, preempted, cancelled.
    """

    time_s: float
    job_id: str
    attempt: int
    gpu_type: str
    gpus: int
    where: tuple[Held, ...] = ()
    limit_w: float | None = None


class LimitSet(Struct, frozen=True, kw_only=True, gc=False):
    """From now on each board of a running attempt is limited to `limit_w` watts, None for its own limit."""

    time_s: float
    job_id: str
    attempt: int
    limit_w: float | None


class JobProgressed(Struct, frozen=True, kw_only=True, gc=False):
    """A running attempt was seen at `done` of `total` steps, and `prediction` is what is expected of it by now.

    Its run time counts from the placement, as that of all predictions. It takes the place of what was predicted on the
    type that the attempt runs on; how the two differ is carried over to other types, and to jobs of the same program.
    """

    time_s: float
    job_id: str
    attempt: int
    done: float
    total: float
    prediction: Prediction


class AttemptFinished(Struct, frozen=True, kw_only=True, gc=False):
    """An attempt ended well: the job is done and its GPUs are free. Final."""

    time_s: float
    job_id: str
    attempt: int


class AttemptFailed(Struct, frozen=True, kw_only=True, gc=False):
    """An attempt ended badly: its GPUs are free and the job waits again, at its old place, for the next attempt."""

    time_s: float
    job_id: str
    attempt: int
    reason: str


class JobPreempted(Struct, frozen=True, kw_only=True, gc=False):
    """A running job gave its GPUs back at a checkpoint; it waits again, at its old place, for the next attempt.

    `remaining` is the share of the whole job's work that the checkpoint leaves to do, in (0, 1].
    """

    time_s: float
    job_id: str
    attempt: int
    remaining: float


class JobFailed(Struct, frozen=True, kw_only=True, gc=False):
    """A waiting job is given up, its attempts being used up; `reason` is that of the last one. Final."""

    time_s: float
    job_id: str
    reason: str


class JobCancelled(Struct, frozen=True, kw_only=True, gc=False):
    """A waiting or running job was withdrawn; GPUs it held are free. Final."""

    time_s: float
    job_id: str


Event = (
    JobSubmitted
    | JobPredicted
    | JobPostponed
    | JobPlaced
    | LimitSet
    | JobProgressed
    | AttemptFinished
    | AttemptFailed
    | JobPreempted
    | JobCancelled
    | JobFailed
    | GpusJoined
    | GpusHeld
    | NodeDrained
    | NodeUndrained
    | NodeLost
    | SignalReported
    | QuotaSet
    | MaintenanceSet
    | NodesReserved
)
"""Everything that can happen to a cluster."""

"""What a simulation is given, checked at the door."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter

from kilowait.cluster.events import GpusJoined, NodesReserved
from kilowait.core.errors import InputError
from kilowait.core.hardware import GPU_TYPES, canonical
from kilowait.core.maintenance import NodeReservation
from kilowait.simulate.run import Submission

MOST_SHOWN = 8
"""Names of nodes in a complaint."""


def checked(submissions: Iterable[Submission], inventory: Mapping[str, int]) -> dict[str, Submission]:
    """Submissions by job id; raises InputError for what could not be run."""
    check_inventory(inventory)
    by_id: dict[str, Submission] = {}
    for submission in submissions:
        job_id = submission.job.job_id
        if job_id in by_id:
            raise InputError(f"job {job_id}: submitted twice; job ids must be unique")
        if submission.seen is not submission.truth and (unknown := _without_truth(submission, inventory)):
            raise InputError(f"job {job_id}: predictions are seen for {', '.join(unknown)}, but no truth is given")
        by_id[job_id] = submission
    _check_order(by_id)
    return by_id


def _check_order(by_id: Mapping[str, Submission]) -> None:
    """Raises InputError for a job after one that is not there, and for jobs that run after each other."""
    after = {job_id: one.job.after for job_id, one in by_id.items() if one.job.after}
    for job_id, parents in after.items():
        if missing := [parent for parent in parents if parent not in by_id]:
            raise InputError(f"job {job_id}: runs after job {missing[0]}, which is not among the jobs")
    try:
        TopologicalSorter(after).prepare()
    except CycleError as error:
        raise InputError(f"jobs run after each other, in a ring: {' -> '.join(error.args[1])}") from None


def check_inventory(inventory: Mapping[str, int]) -> None:
    """Raises InputError for a cluster without GPUs, or a type without."""
    if not inventory:
        raise InputError("the inventory is empty; give at least one GPU type and its count")
    for gpu_type, gpus in inventory.items():
        if gpus < 1:
            raise InputError(f"inventory: {gpu_type} must have >= 1 GPUs, got {gpus!r}")


def joined(inventory: Mapping[str, int], nodes: Mapping[str, Sequence[int]]) -> Iterator[GpusJoined]:
    """The nodes of a cluster, TYPE-0 and so on; raises InputError where their GPUs are not those of the inventory."""
    for gpu_type in nodes:
        if sum(nodes[gpu_type]) != inventory.get(gpu_type, 0):
            raise InputError(
                f"nodes of {gpu_type} have {sum(nodes[gpu_type])} GPUs, the inventory {inventory.get(gpu_type, 0)}"
            )
    for gpu_type, gpus in inventory.items():
        for serial, count in enumerate(nodes.get(gpu_type, (gpus,))):
            memory = _memory_bytes(gpu_type)
            yield GpusJoined(
                time_s=0.0, node=node_name(gpu_type, serial), gpu_type=gpu_type, gpus=count, memory_bytes=memory
            )


def node_name(gpu_type: str, serial: int) -> str:
    """What a simulated node is called, the first of its type by 0."""
    return f"{gpu_type}-{serial}"


def window_events(windows: Iterable[NodeReservation], nodes: Mapping[str, Sequence[int]]) -> Iterator[NodesReserved]:
    """By time, what becomes known of windows of nodes: all at once in the beginning, and the end of each.

    Raises InputError for a node that is not among `nodes`, the GPUs of each by type.
    """
    windows = list(windows)
    here = [node_name(gpu_type, serial) for gpu_type, counts in nodes.items() for serial in range(len(counts))]
    if missing := [node for one in windows for node in one.nodes if node not in here]:
        shown = ", ".join(here[:MOST_SHOWN]) + (" and so on" if len(here) > MOST_SHOWN else "")
        raise InputError(f"windows: no node is called {missing[0]!r}; there are {shown}")
    yield from (NodesReserved(time_s=0.0, reservation=one) for one in windows)
    for one in sorted(windows, key=lambda one: one.ends_s):
        yield NodesReserved(time_s=one.ends_s, reservation=one)


def _without_truth(submission: Submission, inventory: Mapping[str, int]) -> list[str]:
    return [t for t in submission.seen if t in inventory and t not in submission.truth]


@cache  # the catalogue looks for near names where it knows none, and that takes longer than a small simulation
def _memory_bytes(gpu_type: str) -> int | None:
    """A board's memory by the catalogue, None for a type that it does not know."""
    try:
        return GPU_TYPES[canonical(gpu_type)].memory_bytes
    except InputError:
        return None

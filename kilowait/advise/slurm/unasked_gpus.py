"""Whether a job whose program runs on a GPU, and that asks for none, may be given one."""

from collections.abc import Iterable

from kilowait.advise.slurm.batch_request import BatchRequest
from kilowait.advise.slurm.partitions import SlurmPartition, satisfies


def why_none(request: BatchRequest, partitions: Iterable[SlurmPartition]) -> str:
    """What speaks for a job that is meant to have none, or for one whose GPUs cannot be told; "" for nothing."""
    if "gres" in request:
        return f"--gres={request.value('gres')} was given"
    if (request.value("nodes") or "1") != "1":
        return "it spans nodes"
    if "nodelist" in request:
        return "nodes were named"
    constraint = request.value("constraint")
    nodes = [node for partition in partitions for node in partition.nodes if satisfies(constraint, node.features)]
    return "" if all(node.boards for node in nodes) else "some nodes that it may get have none"

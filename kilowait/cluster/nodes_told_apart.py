"""Which boards are whose: looked up when it first matters, see `Cluster`."""

from typing import TYPE_CHECKING

import msgspec

from kilowait.cluster.boards import Boards
from kilowait.core.units import WHOLE

if TYPE_CHECKING:
    from kilowait.cluster.state import Cluster


def tell_apart(cluster: "Cluster") -> None:
    """From now on know which boards are whose; so far every type has one node, and nobody a share."""
    if cluster.boards:
        return
    for (node, gpu_type), gpus in cluster.nodes.items():
        cluster.boards.setdefault(gpu_type, Boards()).join(node, gpus)
        cluster.boards[gpu_type].withhold(node, cluster.held.get((node, gpu_type), 0))
    for job_id, active in cluster.active.items():
        boards = cluster.boards[active.gpu_type]
        where = boards.choose(active.gpus, WHOLE, True)
        boards.take(where, WHOLE)
        cluster.active[job_id] = msgspec.structs.replace(active, where=where)

"""What Ray's autoscaler is asked for: the GPUs that running and waiting jobs would fill, by type.

    python -m kilowait.serve.scheduler.autoscaling A100=8,L40S=4   ask a running cluster for these GPUs now
    python -m kilowait.serve.scheduler.autoscaling                 ask for none: idle nodes go when their time is over

Attempts are pinned to nodes that are there, so the autoscaler sees no demand of theirs by itself. The service asks for
nodes of a type once it has one (`min_workers: 1`) and `grow_to` names the type; jobs for a type that has no node at all
are refused, so a type that shall start from none is asked for by hand. An ask stands until the next one replaces it.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from math import ceil

import ray
from ray.autoscaler.sdk import request_resources

from kilowait.cluster.state import Cluster
from kilowait.core.errors import KilowaitError
from kilowait.core.hardware import GPU_TYPES, canonical
from kilowait.core.units import WHOLE
from kilowait.simulate.inventory import parse_nodes

from .ray_nodes import TYPE_RESOURCE


def wanted(cluster: Cluster, grow_to: Mapping[str, int]) -> dict[str, int]:
    """GPUs of each type of `grow_to`, at most so many: those of running jobs, and of each waiting job, in the order of
    submission, on the fastest of its types that has room left."""
    filled: Counter[str] = Counter()
    for active in cluster.active.values():
        filled[active.gpu_type] += active.gpus * active.job.gpu_milli
    room_milli = {name: gpus * WHOLE - filled[name] for name, gpus in grow_to.items()}
    for waiting in cluster.waiting.values():
        if max(room_milli.values(), default=0) <= 0:
            break
        needs = {name: gpus * waiting.job.gpu_milli for name, gpus in waiting.gpus.items()}
        types_with_room = [name for name in needs if needs[name] <= room_milli.get(name, 0)]
        if types_with_room:
            fastest = min(types_with_room, key=lambda name: waiting.predictions[name].runtime_s)
            room_milli[fastest] -= needs[fastest]
            filled[fastest] += needs[fastest]
    most = {name: min(gpus, ceil(filled[name] / WHOLE)) for name, gpus in grow_to.items()}
    return {name: gpus for name, gpus in most.items() if gpus}


def bundles(gpus_by_type: Mapping[str, int]) -> list[dict[str, float]]:
    """One bundle a GPU, in Ray's name of its type."""
    return [
        {"GPU": 1.0, f"{TYPE_RESOURCE}{_ray_name(name)}": 0.001}
        for name, gpus in gpus_by_type.items()
        for _ in range(gpus)
    ]


def _ray_name(gpu_type: str) -> str:
    """Ray's name of a type, its own where the catalogue gives none."""
    return next(iter(GPU_TYPES[gpu_type].ray), gpu_type)


class AutoscalerRequest:
    """Asks Ray's autoscaler for GPUs whenever the wanted ones have changed; never where `grow_to` is empty."""

    def __init__(self, grow_to: Mapping[str, int]) -> None:
        self._grow_to = grow_to
        self._requested: dict[str, int] | None = None  # what a scheduler before this one asked for may still stand

    def look(self, cluster: Cluster) -> None:
        """Ask for the GPUs that `cluster` wants now, if they are others than before."""
        if self._grow_to and (now := wanted(cluster, self._grow_to)) != self._requested:
            request_resources(bundles=bundles(now))
            self._requested = now


def main(argv: Sequence[str] | None = None) -> int:
    """Ask once, from the command line; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if len(words) > 1 or words[:1] in (["-h"], ["--help"]):
        sys.stdout.write(__doc__ or "")
        return 0 if len(words) == 1 else 2
    try:
        nodes = {canonical(name): sum(counts) for name, counts in parse_nodes(words[0]).items()} if words else {}
    except KilowaitError as error:
        sys.stderr.write(f"demand: {error}\n")
        return 2
    ray.init(address="auto", log_to_driver=False)
    request_resources(bundles=bundles(nodes))
    request = ", ".join(f"{gpus} GPUs of {name}" for name, gpus in nodes.items()) or "none"
    sys.stdout.write(f"asked for {request}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

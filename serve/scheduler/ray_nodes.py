"""What Ray says about its nodes: which GPUs they have, who holds them, who drains.

Ray's own word for a board (`accelerator_type:X`, or the label `ray.io/accelerator-type`) is looked up among the aliases
of `kilowait.core.hardware`. A node that has GPUs and no type that is known there is reported and not used: a guess
would place jobs by the wrong predictions.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

import ray
from ray._private import state  # free GPUs a node, and draining nodes, stand nowhere else

from kilowait.core.errors import IllegalEvent, InputError
from kilowait.core.hardware import GPU_TYPES, REMEDY, canonical
from kilowait.core.submission import Attempt
from kilowait.core.units import WHOLE
from kilowait.live.controller import Controller

TYPE_RESOURCE = "accelerator_type:"
TYPE_LABEL = "ray.io/accelerator-type"


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenNode:
    """A living node with GPUs: `taken` of them are held by somebody; `problem` says why it cannot be used."""

    node: str
    address: str
    gpu_type: str | None
    gpus: int
    taken: float
    draining: bool
    problem: str | None = None

    @property
    def memory_bytes(self) -> int | None:
        """A board's memory by the catalogue."""
        return GPU_TYPES[self.gpu_type].memory_bytes if self.gpu_type else None


def pretended_node(gpu_type: str, gpus: int, *, memory_bytes: int) -> dict[str, Any]:
    """What `ray.cluster_utils.Cluster` takes for a node that says that it has these GPUs; `memory_bytes` of objects."""
    resources = {TYPE_RESOURCE + gpu_type: 1}
    return {"num_cpus": 1, "num_gpus": gpus, "resources": resources, "object_store_memory": memory_bytes}


def see_nodes() -> dict[str, SeenNode]:
    """Every living node with GPUs, by Ray's node id."""
    available = state.available_resources_per_node()
    draining = state.state.get_draining_nodes()
    nodes = {}
    for node in ray.nodes():
        node_id, gpus = node["NodeID"], int(node["Resources"].get("GPU", 0))
        if not node["Alive"] or not gpus:
            continue
        gpu_type, problem = type_of(node["Resources"], node.get("Labels") or {})
        free = available.get(node_id, {}).get("GPU", 0.0) if node_id in available else gpus
        nodes[node_id] = SeenNode(
            node=node_id,
            address=node["NodeManagerAddress"],
            gpu_type=gpu_type,
            gpus=gpus,
            taken=gpus - free,
            draining=node_id in draining,
            problem=problem,
        )
    return nodes


def type_of(resources: Mapping[str, float], labels: Mapping[str, str]) -> tuple[str | None, str | None]:
    """(canonical GPU type, None), or (None, why it is not known)."""
    names = {name.removeprefix(TYPE_RESOURCE) for name in resources if name.startswith(TYPE_RESOURCE)}
    names |= {labels[TYPE_LABEL]} if labels.get(TYPE_LABEL) else set()
    try:
        types = {canonical(name) for name in names}
    except InputError as error:
        return None, f"{error}; {REMEDY}"
    if len(types) != 1:
        names_text = ", ".join(sorted(types)) or "none"
        return (
            None,
            f"it must name one accelerator type, it names {names_text}; start it with --labels={TYPE_LABEL}=TYPE",
        )
    return types.pop(), None


class NodeFollower:
    """Tells a controller what becomes of Ray's nodes. `nodes` is what the last look saw, by Ray's node id."""

    def __init__(self, controller: Controller) -> None:
        self._controller = controller
        self._held_before: dict[str, int] = {}
        self.nodes: dict[str, SeenNode] = {}
        self._looking = asyncio.Lock()

    async def look(self, clock: Callable[[], float]) -> list[Attempt]:
        """Look once; returns the attempts that were lost with their nodes. Raises what the controller raises.

        Ray is asked in a thread: a busy head takes seconds to answer, and jobs are accepted, begin and end meanwhile.
        """
        async with self._looking:  # an older answer is not taken in after a newer one
            held_before = self._ours()
            self.nodes = await asyncio.to_thread(see_nodes)
            return self._take_in(held_before, clock())

    def _take_in(self, held_before: Mapping[str, float], now_s: float) -> list[Attempt]:
        """Tell of the nodes that were seen; `held_before` are the GPUs that our attempts held when Ray was asked."""
        controller, lost = self._controller, list[Attempt]()
        joined = {node_id for node_id, _ in controller.cluster.nodes}
        for node_id in sorted((joined | controller.cluster.draining) - self.nodes.keys()):
            lost += controller.node_lost(node_id, f"node {node_id} was lost", now_s)
        ours = self._ours()
        for node in self.nodes.values():
            if node.gpu_type is None or node.node in controller.cluster.draining:
                continue
            if node.node not in joined and not node.draining:
                controller.node_joined(node.node, node.gpu_type, node.gpus, now_s, node.memory_bytes)
            elif node.node in joined and node.draining:
                controller.node_drained(node.node, now_s)
            elif node.node in joined:
                held = max(ours[node.node], held_before.get(node.node, 0.0))  # Ray may have answered before or after
                self._count_held(node, node.gpu_type, held, now_s)
        return lost

    def leaving(self) -> set[str]:
        """The nodes that Ray itself drains."""
        return {node.node for node in self.nodes.values() if node.draining}

    def drain(self, node_id: str, now_s: float) -> None:
        """Give a node no more jobs; raises IllegalEvent for one that is not here."""
        if node_id not in self._controller.cluster.draining:
            self._controller.node_drained(node_id, now_s)

    def undrain(self, node_id: str, now_s: float) -> None:
        """Give a node jobs again; raises IllegalEvent for one that is not here, or that Ray itself drains."""
        seen = self.nodes.get(node_id)
        if seen is not None and seen.draining:
            raise IllegalEvent(f"node {node_id}: Ray itself drains it, and will take it away; start it again then")
        if not any(node == node_id for node, _ in self._controller.cluster.nodes):
            self._controller.node_undrained(node_id, now_s)

    def _ours(self) -> Mapping[str, float]:
        """The GPUs of each node that our attempts hold, or are about to."""
        ours: defaultdict[str, float] = defaultdict(float)
        for attempt in self._controller.all_running():
            for allocation in attempt.where:
                ours[allocation.node] += allocation.gpus * attempt.gpu_milli / WHOLE
        return ours

    def _count_held(self, node: SeenNode, gpu_type: str, ours: float, now_s: float) -> None:
        """GPUs that are taken, and not by our attempts, are others'; believed once two looks agree."""
        others_gpus = max(0, ceil(node.taken - ours - 1e-6))
        if self._held_before.get(node.node) == others_gpus:
            self._controller.gpus_held(node.node, gpu_type, others_gpus, now_s)
        self._held_before[node.node] = others_gpus

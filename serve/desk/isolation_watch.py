"""What holds of the isolation of jobs, here and on the other nodes: asked of each node once."""

import asyncio
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from kilowait.isolation.modes import Holding, IsolationSettings, holding

from ..wire.health_schemas import Isolation

LOOK_S = 30.0
ANSWER_S = 120.0


class IsolationWatch:
    """Follows the nodes of the cluster; `view` is what health says."""

    def __init__(self, settings: IsolationSettings) -> None:
        self._settings = settings
        self._here: Holding | None = None
        self._nodes: dict[str, tuple[str, Holding | str]] = {}

    async def keep_up(self) -> None:
        """Ask every node that is new, for ever."""
        while True:
            await self._look()
            await asyncio.sleep(LOOK_S)

    async def view(self) -> Isolation:
        """What holds where the service runs, and where another node differs."""
        here = await self._held_here()
        others = {
            address: held if isinstance(held, str) else held.summary
            for address, held in self._nodes.values()
            if held != here
        }
        return Isolation(
            asked=self._settings.mode, holds=here.mode, summary=here.summary, missing=list(here.missing), nodes=others
        )

    async def _held_here(self) -> Holding:
        if self._here is None:
            self._here = await asyncio.to_thread(holding, self._settings)
        return self._here

    async def _look(self) -> None:
        alive = {node["NodeID"]: node for node in await asyncio.to_thread(ray.nodes) if node["Alive"]}
        for gone in self._nodes.keys() - alive.keys():
            del self._nodes[gone]
        here = ray.util.get_node_ip_address()
        for node_id in [node_id for node_id in alive if node_id not in self._nodes]:
            address = alive[node_id]["NodeManagerAddress"]
            if address == here:
                self._nodes[node_id] = (address, await self._held_here())
                continue
            try:
                self._nodes[node_id] = (address, await asyncio.wait_for(self._ask(node_id), ANSWER_S))
            except (RayError, TimeoutError) as error:
                self._nodes[node_id] = (address, f"not known: {type(error).__name__}")

    async def _ask(self, node_id: str) -> Holding:
        there = NodeAffinitySchedulingStrategy(node_id, soft=False)
        ask: Any = ray.remote(holding).options(num_cpus=0, scheduling_strategy=there)
        held: Holding = await ask.remote(self._settings)
        return held

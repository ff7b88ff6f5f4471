"""The runners of one attempt: found by name or made, held together, run, and let go.

An attempt on one node is one runner, pinned to its node. On several nodes it is a gang: a placement group with a bundle
on each node holds the GPUs of all or of none, and every node runs the same program, with the environment that
`torchrun` knows (MASTER_ADDR, MASTER_PORT, NODE_RANK, NNODES). The first that ends badly ends them all.
"""

import asyncio
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import ray
from ray.exceptions import RayError
from ray.util.placement_group import (
    PlacementGroup,
    get_placement_group,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy, PlacementGroupSchedulingStrategy

from kilowait.core.jobs import Provenance
from kilowait.core.submission import Attempt, Ending, Program
from kilowait.core.units import WHOLE
from kilowait.isolation.modes import IsolationSettings
from kilowait.live.job_outputs import OutputSettings
from kilowait.measure.step_clock import StepRecord

from ..environments.built_environments import EnvironmentSettings
from .runner import Runner

if TYPE_CHECKING:
    from ..scheduler.settings import SchedulerSettings

NAMESPACE = "kilowait"
PREFIX = "attempt"
NODE_LABEL = "ray.io/node-id"
LEAVE_S = 5.0
SETTLE_S = 60.0


class Gang:
    """The runners of an attempt by rank. Making one changes nothing: `make` does."""

    def __init__(
        self,
        attempt: Attempt,
        grace_s: float,
        isolation: IsolationSettings | None = None,
        outputs: OutputSettings | None = None,
        environments: EnvironmentSettings | None = None,
    ) -> None:
        self.attempt, self._grace_s, self._isolation = attempt, grace_s, isolation or IsolationSettings()
        self._outputs, self._environments = outputs or OutputSettings(), environments or EnvironmentSettings()
        self.name = f"{PREFIX}:{attempt.job_id}:{attempt.attempt}"
        self._runners: list[Any] = []
        self._preempted = False

    @classmethod
    def of(cls, attempt: Attempt, settings: "SchedulerSettings") -> "Gang":
        """As the settings of the scheduler say."""
        return cls(attempt, settings.grace_s, settings.isolation, settings.outputs, settings.environments)

    def find(self) -> bool:
        """Whether all its runners are there, from before."""
        actors = [_actor(f"{self.name}:{rank}") for rank in range(len(self.attempt.where))]
        self._runners = [runner for runner in actors if runner is not None]
        return len(self._runners) == len(actors)

    def make(self) -> None:
        """Make the runners that are missing: only for an attempt whose program was never allowed to start."""
        group = self._group() if len(self.attempt.where) > 1 else None
        self._runners = [self._runner(rank, group) for rank in range(len(self.attempt.where))]

    async def hold(self) -> dict[str, str]:
        """Wait until all runners hold their GPUs; returns what all of them must know."""
        (address, port), *_ = await asyncio.gather(*(runner.hold.remote() for runner in self._runners))
        return {"MASTER_ADDR": address, "MASTER_PORT": str(port), "NNODES": str(len(self._runners))}

    async def run(self, program: Program, peers: dict[str, str], fenced_s: float | None = None) -> Ending:
        """Run the program on every node, or wait for what runs already; the ending is of all of them together.

        With `fenced_s` it runs until then, in seconds since the epoch, and on as `go_on` says.
        """
        if fenced_s is not None:
            self.go_on(fenced_s)
        if self._preempted:  # before there were runners to be told
            self.preempt()
        runs = [
            asyncio.ensure_future(_ending(runner.run.remote(program, {**peers, "NODE_RANK": str(rank)})))
            for rank, runner in enumerate(self._runners)
        ]
        try:
            for done in asyncio.as_completed(runs):
                ended = await done
                if ended.reason is not None and not ended.preempted and len(runs) > 1:
                    self.stop()
            return together([run.result() for run in runs])
        finally:
            for run in runs:
                run.cancel()

    def go_on(self, fenced_s: float) -> None:
        """Let the job run until then, unless this is called again before."""
        for runner in self._runners:
            runner.go_on.remote(fenced_s)

    def stop(self) -> None:
        """Ask the job to end, on every node."""
        for runner in self._runners:
            runner.stop.remote()

    def preempt(self) -> None:
        """Ask the job to write a checkpoint and end, on every node."""
        self._preempted = True
        for runner in self._runners:
            runner.preempt.remote()

    def limit(self, limit_w: float | None) -> list[Awaitable[None]]:
        """Limit each of its boards to so many watts, None for their own limits; returns what tells that they are."""
        return [asyncio.ensure_future(_limited(runner, limit_w)) for runner in self._runners]

    async def log(self, rank: int, offset: int, limit: int) -> tuple[int, bytes]:
        """What the job wrote on one node so far."""
        piece: tuple[int, bytes] = await self._runners[rank].log.remote(offset, limit)
        return piece

    async def power(self) -> list[tuple[float, Provenance]]:
        """Watts on each node now; [] unless every node answers."""
        watts = await asyncio.gather(*(runner.power.remote() for runner in self._runners))
        return [] if None in watts else watts

    async def steps(self) -> StepRecord | None:
        """How far the job is on the first node, as it says so itself."""
        return await self._runners[0].steps.remote() if self._runners else None

    async def leave(self) -> None:
        """Let the runners clean up and go, and with them their GPUs."""
        leaving = [asyncio.ensure_future(_ending(runner.leave.remote())) for runner in self._runners]
        await asyncio.wait(leaving, timeout=LEAVE_S)
        if len(self.attempt.where) > 1:
            end(self.name)

    def kill(self) -> None:
        """End everything of it at once, whatever state it is in."""
        end(self.name)

    def _runner(self, rank: int, group: PlacementGroup | None) -> Any:
        allocation = self.attempt.where[rank]
        placement: Any = NodeAffinitySchedulingStrategy(allocation.node, soft=False)
        if group is not None:
            placement = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=rank)
        options = {"num_cpus": 0, "num_gpus": allocation.gpus * self.attempt.gpu_milli / WHOLE, "max_restarts": 0}
        name_options = {
            "name": f"{self.name}:{rank}",
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
        }
        remote = ray.remote(Runner).options(scheduling_strategy=placement, **options, **name_options)
        return remote.remote(self.attempt, rank, self._grace_s, self._isolation, self._outputs, self._environments)

    def _group(self) -> PlacementGroup:
        try:
            return get_placement_group(self.name)
        except ValueError:  # there is none yet
            allocations = self.attempt.where
            labels = [{NODE_LABEL: allocation.node} for allocation in allocations]
            bundles = [{"GPU": float(allocation.gpus)} for allocation in allocations]
            return placement_group(bundles, name=self.name, lifetime="detached", bundle_label_selector=labels)


async def _ending(reference: Any) -> Ending:
    """The ending of one rank; a runner that died is an ending too."""
    try:
        ending: Ending = await reference
    except RayError as error:
        return Ending(reason=f"the runner was lost: {first_line(error)}", lost=True)
    return ending


async def _limited(runner: Any, limit_w: float | None) -> None:
    await runner.limit.remote(limit_w)


async def settled(nodes: Iterable[str]) -> None:
    """Return once each node has answered, or Ray has given it up: a runner dies seconds before its node is known dead.

    Without waiting, the same job, and others, would be sent to the dead node again.
    """
    ask = ray.remote(num_cpus=0, max_retries=0)(_answer)
    placements = (NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes)
    answers = [
        asyncio.ensure_future(_heard(ask.options(scheduling_strategy=placement).remote())) for placement in placements
    ]
    await asyncio.wait(answers, timeout=SETTLE_S)


def _answer() -> None:
    """Nothing: that it returns shows that its node lives."""


async def _heard(reference: Any) -> bool:
    try:
        await reference
    except RayError:
        return False
    return True


def together(endings: Sequence[Ending]) -> Ending:
    """One ending of a gang: the first bad one, with the longest time, all the energy and every log."""
    worst = next((ending for ending in endings if ending.lost), None) or next(
        (ending for ending in endings if ending.reason), endings[0]
    )
    preempted = not worst.lost and any(ending.preempted for ending in endings)
    measurements = [ending.measurement for ending in endings if ending.measurement is not None]
    whole = None
    if len(measurements) == len(endings):
        longest, energy_j = max(m.runtime_s for m in measurements), sum(m.energy_j for m in measurements)
        least_known = next((m for m in measurements if m.energy_provenance != "measured"), measurements[0])
        whole = replace(least_known, runtime_s=longest, energy_j=energy_j)
    return msgspec.structs.replace(
        worst,
        preempted=preempted,
        checkpointed=preempted and all(ending.checkpointed for ending in endings if ending.preempted),
        measurement=whole,
        gpu_ids=tuple(gpu for ending in endings for gpu in ending.gpu_ids),
        logs=tuple(log for ending in endings for log in ending.logs),
    )


def first_line(error: Exception) -> str:
    """What an error of Ray says first: the rest is the history of an actor."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def strangers(known: set[str]) -> set[str]:
    """The names of gangs that are there and not among `known`."""
    actors = (
        entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True) if entry["namespace"] == NAMESPACE
    )
    gangs = {name.rpartition(":")[0] for name in actors if name.startswith(f"{PREFIX}:")}
    groups = (g["name"] for g in placement_group_table().values() if g["state"] != "REMOVED")
    return (gangs | {name for name in groups if name.startswith(f"{PREFIX}:")}) - known


def end_strangers(known: set[str]) -> None:
    """End every gang that is not among `known`."""
    for name in strangers(known):
        end(name)


def end(name: str) -> None:
    """End the runners of the gang of this name, and give back what it holds."""
    actors = (
        entry["name"] for entry in ray.util.list_named_actors(all_namespaces=True) if entry["namespace"] == NAMESPACE
    )
    for actor_name in actors:
        if actor_name.rpartition(":")[0] == name and (actor := _actor(actor_name)) is not None:
            ray.kill(actor)
    try:
        remove_placement_group(get_placement_group(name))
    except ValueError:  # it has none
        return


def _actor(name: str) -> Any:
    try:
        return ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return None

"""Nodes that sleep while nothing runs on them, and the energy of a whole cluster: jobs, idle boards and hosts.

A node on which nothing has run for `after_s` sleeps; a job that is placed on it holds its boards at once and starts
when all its nodes are awake, `wake_s` later. Policies know nothing of it. Off after a fixed time is 2-competitive where
that time pays for one wake-up (the ski-rental rule, Karlin et al. 1988). Not covered: waking ahead of need, wear.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

from kilowait.core.errors import InputError
from kilowait.core.hardware import idle_power_w as catalogue_idle_power_w
from kilowait.core.jobs import Held
from kilowait.core.units import JOULES_PER_KWH

NodeName = tuple[str, str]
"""(GPU type, node): nodes of two types may be called alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SleepRule:
    """When nodes sleep and what they draw; seconds and watts a node beside its boards. Raises InputError.

    `host_w` is what a node draws beside its boards while it is awake, `asleep_w` all that it draws asleep. `warm` nodes
    of each type never sleep.
    """

    after_s: float = inf
    wake_s: float = 180.0
    host_w: float = 0.0
    asleep_w: float = 0.0
    warm: int = 0

    def __post_init__(self) -> None:
        for name in ("after_s", "wake_s", "host_w", "asleep_w", "warm"):
            value = getattr(self, name)
            if not value >= 0 or (value == inf and name != "after_s"):
                raise InputError(f"{name} must be >= 0 and finite, got {value!r}")


@dataclass(slots=True, kw_only=True)
class NodeUse:
    """What a node did: seconds that its boards were busy (shares as fractions), and from when to when it slept until it
    was woken."""

    gpus: int
    warm: bool
    running: int = 0
    idle_since_s: float = 0.0
    busy_board_s: float = 0.0
    sleeps: list[tuple[float, float]] = field(default_factory=list)
    awake_at_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Sleeping:
    """The nodes of a run under a rule, by (GPU type, node)."""

    rule: SleepRule
    nodes: dict[NodeName, NodeUse] = field(default_factory=dict)
    begins_s: float | None = None

    def joined(self, gpu_type: str, node: str, gpus: int) -> None:
        """A node is there; it is awake."""
        warm = sum(of == gpu_type for of, _ in self.nodes) < self.rule.warm
        self.nodes[gpu_type, node] = NodeUse(gpus=gpus, warm=warm)

    def submitted(self, now_s: float) -> None:
        """The first submission opens the window in which energy is counted: nodes are idle from then on."""
        if self.begins_s is None:
            self.begins_s = now_s
            for use in self.nodes.values():
                use.idle_since_s = now_s

    def placed(self, gpu_type: str, where: Sequence[Held], now_s: float) -> float:
        """A job holds boards; seconds until all its nodes are awake."""
        delay_s = 0.0
        for use in self._uses(gpu_type, where):
            if not use.running and self._sleeps(use, now_s):
                use.sleeps.append((use.idle_since_s + self.rule.after_s, now_s))
                use.awake_at_s = now_s + self.rule.wake_s
            delay_s = max(delay_s, use.awake_at_s - now_s)
            use.running += 1
        return delay_s

    def ended(self, gpu_type: str, where: Sequence[Held], board_s: float, now_s: float) -> None:
        """A job gives its boards back, that were busy for `board_s` seconds in all, a share as a fraction."""
        uses = self._uses(gpu_type, where)
        boards = [held.gpus for held in where] or [1]
        for use, count in zip(uses, boards, strict=True):
            use.busy_board_s += board_s * count / sum(boards)
            use.running -= 1
            use.idle_since_s = now_s

    def _uses(self, gpu_type: str, where: Sequence[Held]) -> list[NodeUse]:
        """The nodes of a placement; without places a type has one node."""
        if where:
            return [self.nodes[gpu_type, held.node] for held in where]
        return [next(use for (of, _), use in self.nodes.items() if of == gpu_type)]

    def _sleeps(self, use: NodeUse, now_s: float) -> bool:
        return not use.warm and now_s - use.idle_since_s > self.rule.after_s

    def asleep(self, use: NodeUse, ends_s: float) -> list[tuple[float, float]]:
        """From when to when a node slept until `ends_s`."""
        last = (use.idle_since_s + self.rule.after_s, ends_s)
        return [*use.sleeps, last] if not use.running and self._sleeps(use, ends_s) else use.sleeps

    def energy(self, jobs_kwh: float, ends_s: float, idle_w: Mapping[str, float] | None = None) -> "ClusterEnergy":
        """The whole cluster's energy from the first submission to `ends_s`; `idle_w` gives watts a board by type, else
        the catalogue does. Raises InputError for a type whose idle power is unknown."""
        window_s = max(0.0, ends_s - (self.begins_s or 0.0))
        boards_j = hosts_j = asleep_s = 0.0
        wakes = 0
        for (gpu_type, _), use in self.nodes.items():
            watts = (idle_w or {}).get(gpu_type, catalogue_idle_power_w(gpu_type))
            if watts is None:
                raise InputError(f"{gpu_type}: its idle power is unknown; give it in a file of GPU types (--gpu-file)")
            slept_s = sum(woken_s - slept_s for slept_s, woken_s in self.asleep(use, ends_s))
            awake_s = window_s - slept_s
            boards_j += watts * max(0.0, use.gpus * awake_s - use.busy_board_s)
            hosts_j += self.rule.host_w * awake_s + self.rule.asleep_w * slept_s
            asleep_s += slept_s
            wakes += len(use.sleeps)
        return ClusterEnergy(
            jobs_kwh=jobs_kwh,
            idle_boards_kwh=boards_j / JOULES_PER_KWH,
            hosts_kwh=hosts_j / JOULES_PER_KWH,
            asleep_share=asleep_s / (window_s * len(self.nodes)) if window_s and self.nodes else 0.0,
            wakes=wakes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEnergy:
    """Where the energy of a cluster went, in kWh; modelled. `asleep_share` is of all node hours; `wakes` counts."""

    jobs_kwh: float
    idle_boards_kwh: float
    hosts_kwh: float
    asleep_share: float
    wakes: int

    @property
    def total_kwh(self) -> float:
        """All of it."""
        return self.jobs_kwh + self.idle_boards_kwh + self.hosts_kwh

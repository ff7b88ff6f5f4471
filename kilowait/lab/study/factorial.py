"""The factorial study as data: which cells there are, what each is keyed by, and the rows that it gives.

A cell is one policy with one kind of information on some samples of one world. Its key is a digest of all that
decides its rows, the code included, so a finished cell can be kept and is never mistaken for another. Points say
which cells make up a place in the study; two points may share a cell (an error of 0% is the oracle).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from typing import Protocol

from kilowait.lab.backtest.backtest import PolicySpec, Sampled
from kilowait.lab.backtest.bounds.lower_bounds import greenest_kwh
from kilowait.lab.backtest.comparison import BASELINE
from kilowait.lab.backtest.content import code_digest, content_digest
from kilowait.lab.backtest.timing import Clock, TimedPolicy
from kilowait.lab.study.fairness import fairness
from kilowait.lab.study.information import Bias, Information, InjectedError, Oracle, information_rng, seen_through
from kilowait.lab.study.many_types import TypesWorld
from kilowait.simulate.loop import simulate
from kilowait.simulate.scores import score

BATCH = 25
"""Samples a cell: few enough that little is lost when a run is killed."""

ORACLE = "oracle"
INDEPENDENT, SHARED = "independent by job and type", "shared by a job's types"


class SeededWorld(Sampled, Protocol):
    """A numbered family of samples with the seed that they come from."""

    @property
    def seed(self) -> int:
        """Also the seed of what is seen of a sample."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldFamily:
    """A world of the study: its name in tables, and which of its samples are tests."""

    name: str
    world: SeededWorld
    test: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One policy with one kind of information on these samples of a world."""

    information: Information
    policy: PolicySpec
    samples: tuple[int, ...]

    def key(self, world_digest: str) -> str:
        """A digest of all that decides this cell's rows; the policy's label does not."""
        policy = [self.policy.policy, sorted(self.policy.parameters.items())]
        return content_digest([code_digest(), world_digest, self.information, policy, self.samples])


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A place in the study; `family` names the world its cells run on, `world` the one its row belongs to."""

    part: str
    family: str
    world: str
    information: str
    x: float | None
    policy: str
    cells: tuple[Cell, ...]


def cell_rows(world: SeededWorld, cell: Cell, clock: Clock) -> list[dict[str, object]]:
    """Rows of `columns.STUDY_CELLS`; `clock` gives process time."""
    return [_row(world, cell, index, clock) for index in cell.samples]


def _row(world: SeededWorld, cell: Cell, index: int, clock: Clock) -> dict[str, object]:
    sample = seen_through(cell.information, world.sample(index), information_rng(world.seed, index))
    timed = TimedPolicy(cell.policy.build(), clock)
    run = simulate(sample.submissions, sample.inventory, timed, nodes=sample.nodes)
    return {
        **asdict(score(run)),
        **asdict(fairness(run, sample.submissions)),
        "sample": index,
        "gpus": sum(sample.inventory.values()),
        "gpu_running_s": math.fsum(p.gpu_s for p in run.placements),
        "greenest_kwh": greenest_kwh(sample),
        "policy_s": math.fsum(timed.calls_s),
    }


def information_points(
    family: WorldFamily, kinds: Mapping[str, Information], policies: Sequence[PolicySpec]
) -> list[Point]:
    """Every policy with every kind of information; Simple looks at none, so it runs once, as the baseline."""
    return [
        _point("information", family, name, None, information, policy)
        for policy, (name, information) in product(policies, kinds.items())
        if policy.label != BASELINE or isinstance(information, Oracle)
    ]


def error_points(family: WorldFamily, levels: Sequence[float], policies: Sequence[PolicySpec]) -> list[Point]:
    """Every policy with errors of every level, drawn for every job and type, and drawn once a job."""
    return [
        _point("error", family, SHARED if shared else INDEPENDENT, level, _error(level, shared), policy)
        for policy, shared, level in product(_informed(policies), (False, True), levels)
    ]


def bias_points(
    family: WorldFamily, factors: Sequence[float], gpu_types: Sequence[str | None], policies: Sequence[PolicySpec]
) -> list[Point]:
    """Every policy with times and energies off by every factor, on each of these types alone (None: on all)."""
    return [
        _point(
            "bias", family, f"{gpu_type} only" if gpu_type else "every type", factor, _bias(factor, gpu_type), policy
        )
        for policy, gpu_type, factor in product(_informed(policies), gpu_types, factors)
    ]


def types_points(family: WorldFamily, world: TypesWorld, policies: Sequence[PolicySpec]) -> list[Point]:
    """Every policy on one number of types, with the truth; Simple, the baseline, is among them."""
    return [
        _point("types", family, ORACLE, float(world.types), Oracle(), policy, world=world.classes)
        for policy in policies
    ]


def _point(
    part: str,
    family: WorldFamily,
    name: str,
    x: float | None,
    information: Information,
    policy: PolicySpec,
    *,
    world: str | None = None,
) -> Point:
    batches = [family.test[k : k + BATCH] for k in range(0, len(family.test), BATCH)]
    return Point(
        part=part,
        family=family.name,
        world=world or family.name,
        information=name,
        x=x,
        policy=policy.label,
        cells=tuple(Cell(information=information, policy=policy, samples=batch) for batch in batches),
    )


def _informed(policies: Sequence[PolicySpec]) -> list[PolicySpec]:
    return [policy for policy in policies if policy.label != BASELINE]


def _error(level: float, shared: bool) -> Information:
    return InjectedError(level=level, shared=shared) if level else Oracle()


def _bias(factor: float, gpu_type: str | None) -> Information:
    return Oracle() if factor == 1 else Bias(factor=factor, gpu_type=gpu_type)

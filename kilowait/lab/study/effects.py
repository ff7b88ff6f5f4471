"""From rows of the study to changes against Simple with paired bootstrap intervals, and what they decompose into."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import InputError
from kilowait.lab.backtest.comparison import BASELINE
from kilowait.lab.backtest.statistics import change_interval, difference_interval, mean_interval
from kilowait.lab.study.factorial import ORACLE
from kilowait.report.interval import Interval

BOOTSTRAP_SEED = 0
NONE = "no prediction"
"""The information that every decomposition starts from."""

Row = Mapping[str, object]
Column = FloatArray
NUMBERS = (
    "jobs", "total_wait_s", "energy_kwh", "cluster_energy_kwh", "jain", "users", "p99_bounded_slowdown", "max_wait_s",
    "policy_s", "greenest_kwh",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPlace:
    """A place in the study: `x` is the level, factor or number of types, None where there is no axis."""

    part: str
    world: str
    information: str
    x: float | None
    policy: str


@dataclass(frozen=True, kw_only=True)
class Group:
    """All samples of one place, in order, beside Simple on the same samples; every number is modelled but time."""

    place: StudyPlace
    columns: Mapping[str, Column]
    baseline: Mapping[str, Column]

    @property
    def waiting(self) -> Interval:
        """The change of total waiting against Simple."""
        return self.change("total_wait_s")

    @property
    def energy(self) -> Interval:
        """The change of the jobs' energy against Simple."""
        return self.change("energy_kwh")

    @property
    def samples(self) -> int:
        """How many samples there are."""
        return len(self.columns["jobs"])

    def change(self, column: str) -> Interval:
        """The relative change of a total against Simple, paired."""
        return self._once(
            "change", column, lambda: change_interval(self.columns[column], self.baseline[column], _rng())
        )

    def added_to(self, other: "Group", column: str) -> Interval:
        """This group's change minus the other's, both against Simple on the same samples."""
        return difference_interval(self.columns[column], other.columns[column], self.baseline[column], _rng())

    def mean(self, column: str) -> Interval:
        """The mean over samples."""
        return self._once("mean", column, lambda: mean_interval(self.columns[column], _rng()))

    def _once(self, what: str, column: str, compute: Callable[[], Interval]) -> Interval:
        """An interval that tables, figures and JSON show alike: each is drawn once."""
        if (what, column) not in self._drawn:
            self._drawn[what, column] = compute()
        return self._drawn[what, column]

    @cached_property
    def _drawn(self) -> dict[tuple[str, str], Interval]:
        return {}

    def a_job(self, column: str) -> float:
        """A total over all jobs."""
        return float(self.columns[column].sum() / self.columns["jobs"].sum())


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """How much of the best cell's gain is the policy's without any prediction, and what the prediction adds."""

    metric: str
    among: str
    best: Group
    alone: Group
    added: Interval


def groups(rows: Iterable[Row]) -> list[Group]:
    """The rows by place, in order of first appearance; raises InputError where Simple lacks a group's samples."""
    found: dict[StudyPlace, list[Row]] = {}
    for row in rows:
        found.setdefault(_place(row), []).append(row)
    columns = {place: _columns(kept) for place, kept in found.items()}
    return [Group(place=place, columns=own, baseline=_baseline(place, own, columns)) for place, own in columns.items()]


def select(found: Sequence[Group], part: str, world: str | None = None) -> list[Group]:
    """The groups of one part, and of one world where it is named."""
    return [g for g in found if g.place.part == part and world in (None, g.place.world)]


def worlds(found: Sequence[Group]) -> list[str]:
    """The worlds of these groups, in order."""
    return list(dict.fromkeys(g.place.world for g in found))


def split(found: Sequence[Group], metric: str) -> list[Split]:
    """The decomposition of one world's best cells that wait no longer than Simple: without an oracle, and of all."""
    others = [g for g in found if g.place.policy != BASELINE and not g.waiting.estimate > 0]
    alone = {g.place.policy: g for g in found if g.place.information == NONE}
    pools = {"no oracle": [g for g in others if g.place.information != ORACLE], "all": others}
    splits = []
    for among, pool in pools.items():
        defined = [g for g in pool if not math.isnan(g.change(metric).estimate)]
        if defined and alone:
            best = min(defined, key=lambda g: g.change(metric).estimate)
            base = alone[best.place.policy]
            splits.append(Split(metric=metric, among=among, best=best, alone=base, added=best.added_to(base, metric)))
    return splits


def _rng() -> np.random.Generator:
    """Seeded anew for every interval, so that reports repeat and do not depend on what else they hold."""
    return np.random.default_rng(BOOTSTRAP_SEED)


def _place(row: Row) -> StudyPlace:
    x = row["x"]
    assert x is None or isinstance(x, float)
    return StudyPlace(
        part=str(row["part"]),
        world=str(row["world"]),
        information=str(row["information"]),
        x=x,
        policy=str(row["policy"]),
    )


def _columns(rows: Sequence[Row]) -> dict[str, Column]:
    ordered = sorted(rows, key=lambda row: int(str(row["sample"])))
    return {
        name: np.array([np.nan if row[name] is None else row[name] for row in ordered], dtype=float)
        for name in ("sample", *NUMBERS)
    }


def _baseline(
    place: StudyPlace, own: Mapping[str, Column], found: Mapping[StudyPlace, Mapping[str, Column]]
) -> Mapping[str, Column]:
    """Simple on the same world: with as many types, or as part `information` ran it."""
    of_types = place.part == "types"
    where = StudyPlace(
        part="types" if of_types else "information",
        world=place.world,
        information=ORACLE,
        x=place.x if of_types else None,
        policy=BASELINE,
    )
    if where not in found or found[where]["sample"].tolist() != own["sample"].tolist():
        raise InputError(f"{place.world}, {place.part}: no run of {BASELINE} on the same samples to compare with")
    return found[where]

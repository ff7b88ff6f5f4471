"""The power of today's jobs over the day, beside what the rule Simple would have drawn with the same ones."""

from collections.abc import Collection
from math import ceil

from kilowait.core.jobs import Provenance
from kilowait.core.units import DAY_S
from kilowait.simulate.against_simple import mean_watts

from ...wire.page_schemas import PowerDay
from ..today import Day

STEP_S = 900.0


def power_day(day: Day, now_s: float) -> PowerDay:
    """From midnight UTC until now, or until Simple would have been done with the jobs, at most a day."""
    against = day.against
    last_s = max((end_s for _, end_s, _ in against.simple_spent), default=now_s)
    steps = ceil(min(max(last_s, now_s) - day.since_s, DAY_S) / STEP_S)
    return PowerDay(
        since_s=day.since_s,
        now_s=now_s,
        step_s=STEP_S,
        jobs=against.jobs,
        used_w=mean_watts(against.spent, day.since_s, STEP_S, steps),
        used_provenance=_spread(against.energy_kinds),
        simple_w=mean_watts(against.simple_spent, day.since_s, STEP_S, steps),
        energy_provenance=list(against.energy_kinds),
        used_kwh=against.energy_kwh,
        simple_kwh=against.simple_energy_kwh,
    )


def _spread(kinds: Collection[Provenance]) -> Provenance:
    """How the power was had of energies of these kinds: no better than estimated, for it is spread evenly."""
    return next((kind for kind in (Provenance.PRETENDED, Provenance.MODELLED) if kind in kinds), Provenance.ESTIMATED)

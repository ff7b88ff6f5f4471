"""What a kWh and an hour of a GPU stand for: grams of CO2, litres of water, money; and whose figures these are."""

from collections.abc import Callable
from dataclasses import dataclass

from kilowait.core.jobs import Provenance
from kilowait.report.consumption.attempt_use import AttemptUse
from kilowait.report.consumption.grid_carbon import GridCarbon

GpuHourPrice = Callable[[str], float | None]
"""What an hour of a GPU of a type costs, None where nobody says it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """`pue` is what the site draws for each kWh of its computers; `water_l_per_kwh` counts a kWh of theirs.

    `price_per_kwh` is paid for what the site draws. What is None is not counted.
    """

    carbon: GridCarbon | None = None
    pue: float = 1.0
    water_l_per_kwh: float | None = None
    water_source: str = ""
    price_per_kwh: float | None = None
    gpu_hour: GpuHourPrice = lambda _: None
    currency: str = "USD"


@dataclass(frozen=True, slots=True, kw_only=True)
class RatedUse:
    """What an attempt comes to; None where its rate is not given.

    `energy_kwh` is what was drawn in fact, and `carbon_kwh` what `co2_kg` is of: less where the signal does not reach.
    """

    co2_kg: float | None
    energy_kwh: float
    carbon_kwh: float
    water_l: float | None
    gpu_cost: float | None
    energy_cost: float | None


def rated_use(use: AttemptUse, rates: Rates) -> RatedUse:
    """Its energy and its GPU-hours at these rates, its power taken as even over its time; what is pretended is none.

    Where a rate is not given, what its site's signals made of it counts.
    """
    energy_kwh = 0.0 if use.energy_provenance == Provenance.PRETENDED else use.energy_kwh
    grams, known = rates.carbon.mean(use.start_s, use.end_s) if rates.carbon else (0.0, 0.0)
    per_hour = rates.gpu_hour(use.gpu_type)
    carbon_kwh, seen = energy_kwh * known, use.amounts if energy_kwh else {}
    co2_kg = carbon_kwh * rates.pue * grams / 1000 if known else None
    if rates.carbon is None and "carbon_g" in seen:
        co2_kg, carbon_kwh = seen["carbon_g"] * rates.pue / 1000, energy_kwh
    energy_cost = None if rates.price_per_kwh is None else energy_kwh * rates.pue * rates.price_per_kwh
    if rates.price_per_kwh is None and rates.currency == "USD" and "electricity_usd" in seen:
        energy_cost = seen["electricity_usd"] * rates.pue
    return RatedUse(
        co2_kg=co2_kg,
        energy_kwh=energy_kwh,
        carbon_kwh=carbon_kwh,
        water_l=seen.get("water_l") if rates.water_l_per_kwh is None else energy_kwh * rates.water_l_per_kwh,
        gpu_cost=None if per_hour is None else use.gpu_hours * per_hour,
        energy_cost=energy_cost,
    )

"""What energy, emissions, time and broken promises cost: one record, by which everything is weighed.

Only what a decision changes has a price. Carbon that was emitted to build the boards is spent whatever runs where, and
counting it by use moves work to old, hungry boards (Bashir et al., "The Sunk Carbon Fallacy", SoCC 2024,
arXiv:2410.15087): it has no field.
"""

import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import HOUR_S

GRAMS_PER_KG = 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceList:
    """Prices in USD, each >= 0: of a kWh, a kg of CO2, a litre of water, an hour that a job waits, an hour that a GPU
    runs, and a deadline that is missed. Raises InputError for one that is negative or not finite."""

    usd_per_kwh: float = 0.0
    usd_per_kg_co2: float = 0.0
    usd_per_l: float = 0.0
    usd_per_h_waiting: float = 0.0
    usd_per_h_running: float = 0.0
    usd_per_missed_deadline: float = 0.0

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not (0 <= value < math.inf):
                raise InputError(f"{part.name} must be a finite number >= 0, got {value!r}")

    def of_a_kwh(self, price: float | None = None, carbon: float = 0.0, water: float = 0.0) -> float:
        """USD a kWh with all that it brings: `price` in USD a kWh (None: the list's own), carbon in g, water in L."""
        energy = self.usd_per_kwh if price is None else price
        return energy + self.usd_per_kg_co2 * carbon / GRAMS_PER_KG + self.usd_per_l * water

    def over_time(self, signals: Mapping[str, Signal]) -> Signal | None:
        """USD a kWh over time, as a signal of price; None where no signal is given that has a price.

        It is known where all of these are, and repeats where all of them do.
        """
        wanted = {"price": 1.0, "carbon": self.usd_per_kg_co2, "water": self.usd_per_l}
        used = {name: signals[name] for name, weight in wanted.items() if weight and name in signals}
        if not used:
            return None
        begins_s, ends_s, period_s = _common(list(used.values()))
        steps = {begins_s, *chain.from_iterable(signal.changes(begins_s, ends_s) for signal in used.values())}
        times_s = tuple(time_s for time_s in sorted(steps) if time_s < ends_s)
        values = (self.of_a_kwh(**{name: signal.at(time_s) for name, signal in used.items()}) for time_s in times_s)
        return Signal(name="price", times_s=times_s, values=tuple(values), ends_s=ends_s, period_s=period_s)

    def wait_s_per_kwh(self, usd_per_kwh: float) -> float:
        """For how many seconds a job may wait to save a kWh; raises InputError where waiting has no price."""
        if not self.usd_per_h_waiting:
            raise InputError("usd_per_h_waiting must be > 0 where a policy weighs energy against waiting")
        return max(0.0, usd_per_kwh) / self.usd_per_h_waiting * HOUR_S

    def kappa(self, usd_per_kwh: float, typical_gpu_s: float) -> float:
        """The kappa of `value` near jobs of `typical_gpu_s` GPU-seconds s.

        There 1 / (a t) - kappa e falls with a t as it rises with e where kappa s^2 seconds of a GPU cost a kWh. Raises
        InputError where running has no price.
        """
        if not self.usd_per_h_running:
            raise InputError("usd_per_h_running must be > 0 where a policy weighs energy against GPU-seconds")
        return max(0.0, usd_per_kwh) / (self.usd_per_h_running / HOUR_S * typical_gpu_s**2)


def read_price_list(path: Path | str) -> PriceList:
    """A price list from TOML, `usd_per_kwh = 0.2` a line; raises InputError naming the file and the field."""
    try:
        given = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: not readable as TOML: {error}") from error
    names = [part.name for part in fields(PriceList)]
    if unknown := [name for name in given if name not in names]:
        why = "; what building the boards emitted is spent whatever runs" if "embodied" in unknown[0] else ""
        raise InputError(f"{path}: no price is called {unknown[0]!r}; there are {', '.join(names)}{why}")
    try:
        return PriceList(**given)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _common(signals: Sequence[Signal]) -> tuple[float, float, float]:
    """From when to when all of these are known, and how often what they say together repeats."""
    begins_s, last = max(s.begins_s for s in signals), [s.ends_s for s in signals if not s.period_s]
    if last:
        return begins_s, min(last), 0.0
    period_s = max(s.period_s for s in signals)
    return begins_s, max(max(s.ends_s for s in signals), begins_s + period_s), period_s

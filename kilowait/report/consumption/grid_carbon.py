"""How much CO2 a kWh of the grid comes with: the same at any time, or a signal; location-based."""

from dataclasses import dataclass
from math import inf
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.core.over_time.signals import Signal
from kilowait.files.signal_files import read_signal


@dataclass(frozen=True, slots=True, kw_only=True)
class GridCarbon:
    """Grams of CO2 a kWh, and whose figures these are; a `signal` in seconds since 1970, else always `grams`."""

    source: str
    grams: float = 0.0
    signal: Signal | None = None

    def mean(self, start_s: float, end_s: float) -> tuple[float, float]:
        """(mean grams a kWh over the part of a span that is known, share of the span that is)."""
        if self.signal is None:
            return self.grams, 1.0
        until_s = inf if self.signal.period_s else self.signal.ends_s
        known_from_s, known_to_s = max(start_s, self.signal.begins_s), min(end_s, until_s)
        if known_from_s < known_to_s:
            share = (known_to_s - known_from_s) / (end_s - start_s)
            return self.signal.mean(known_from_s, known_to_s), share
        if start_s == end_s and self.signal.begins_s <= start_s < until_s:
            return self.signal.at(start_s), 1.0
        return 0.0, 0.0


def constant(grams: float, source: str) -> GridCarbon:
    """The same at any time; raises InputError for fewer than no grams."""
    if not 0 <= grams < inf:
        raise InputError(f"--g-per-kwh must be finite and >= 0, got {grams}")
    return GridCarbon(grams=grams, source=source)


def read_grid_carbon(path: Path, source: str, zone: str | None = None, column: str | None = None) -> GridCarbon:
    """A measured signal from a file; raises InputError for one without dates, and for forecasts of several times."""
    found = read_signal(path, "carbon", zone=zone, column=column)
    if not found.dated or len(found.signals) > 1:
        raise InputError(
            f"{path}: {'forecasts of several times' if found.dated else 'no dates'}; give what was measured"
        )
    return GridCarbon(signal=found.signals[0], source=source)

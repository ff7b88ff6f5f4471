"""How much CO2 a kWh of the grid comes with: one number, or a signal over time from a file; location-based.

A file is CSV with a column of times in UTC or with a zone (`time`, `datetime_utc`, `Datetime (UTC)`) and one of grams a
kWh: the first whose name speaks of carbon or CO2 and of no forecast, or the one that is named.
Each value holds until the next row, the last as long as the one before it.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from math import inf
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.files.rows import Row, read_csv

TIMES = ("time", "datetime_utc", "datetime (utc)", "datetime", "timestamp")


@dataclass(frozen=True, slots=True, kw_only=True)
class GridCarbon:
    """Grams of CO2 a kWh: `grams[i]` from `times_s[i]` to `times_s[i + 1]`, of which there is one more; its source."""

    times_s: Sequence[float]
    grams: Sequence[float]
    source: str

    def mean(self, start_s: float, end_s: float) -> tuple[float, float]:
        """(mean grams a kWh over the part of a span that is known, share of the span that is)."""
        if start_s == end_s:
            k = bisect_right(self.times_s, start_s) - 1
            return (self.grams[k], 1.0) if 0 <= k < len(self.grams) else (0.0, 0.0)
        first, known_s, total = max(0, bisect_right(self.times_s, start_s) - 1), 0.0, 0.0
        for k in range(first, len(self.grams)):
            if self.times_s[k] >= end_s:
                break
            seconds = max(0.0, min(end_s, self.times_s[k + 1]) - max(start_s, self.times_s[k]))
            known_s, total = known_s + seconds, total + seconds * self.grams[k]
        return (total / known_s if known_s else 0.0), known_s / (end_s - start_s)


def constant(grams: float, source: str) -> GridCarbon:
    """The same at any time; raises InputError for fewer than no grams."""
    if not 0 <= grams < inf:
        raise InputError(f"--g-per-kwh must be finite and >= 0, got {grams}")
    return GridCarbon(times_s=(-inf, inf), grams=(grams,), source=source)


def read_grid_carbon(path: Path, source: str, column: str | None = None, zone: str | None = None) -> GridCarbon:
    """A signal from a file, of one `zone` where it has a column of zones; raises InputError, naming the cell."""
    columns: list[str] = []

    def check(header: Sequence[str]) -> None:
        columns.extend([_time_column(path, header), _carbon_column(path, header, column)])

    rows = [row for row in read_csv(path, check) if zone is None or row.values.get("zone") == zone]
    zones = {row.values.get("zone", "") for row in rows}
    if not rows or len(zones) > 1:
        raise InputError(f"{path}: {'no row' if not rows else f'{len(zones)} zones'}; name one with --carbon-zone")
    values = sorted((_seconds(row, columns[0]), row.number(columns[1])) for row in rows)
    times_s = [time_s for time_s, _ in values]
    if len(times_s) < 2 or len(set(times_s)) < len(times_s):
        raise InputError(f"{path}: a signal has two or more rows, each of another time")
    return GridCarbon(
        times_s=[*times_s, 2 * times_s[-1] - times_s[-2]], grams=[grams for _, grams in values], source=source
    )


def _time_column(path: Path, header: Sequence[str]) -> str:
    found = next((name for name in header if name.strip().lower() in TIMES), None)
    if found is None:
        raise InputError(f"{path}, line 1: no column of times; call it time (it has {', '.join(header)})")
    return found


def _carbon_column(path: Path, header: Sequence[str], column: str | None) -> str:
    meant = [name for name in header if name == column]
    if column is None:
        named = [(name, name.lower().replace("₂", "2")) for name in header]
        meant = [name for name, low in named if ("carbon" in low or "co2" in low) and "forecast" not in low]
    if not meant:
        raise InputError(f"{path}, line 1: no column {column or 'of g CO2 a kWh'}; it has {', '.join(header)}")
    return meant[0]


def _seconds(row: Row, column: str) -> float:
    try:
        moment = datetime.fromisoformat(row.text(column))
    except ValueError:
        raise row.wrong(column, "must be a time as 2026-11-01T00:00:00+00:00 (without a zone: UTC)") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()

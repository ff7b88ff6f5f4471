"""Signals from files: CSV, Parquet, and the JSON that Electricity Maps and WattTime answer with.

A table has a column of times and one of values, and may have one of zones and one of the times at which a forecast was
issued. Times are dates with their zone, or seconds on the clock of the jobs in a column `time_s`. The unit stands in
the name of the column (`gco2_per_kwh`, `usd_per_mwh`), in a column `unit`, or in what a service says beside its values.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby, pairwise
from math import isfinite
from pathlib import Path
from typing import Any

from kilowait.core.errors import InputError
from kilowait.core.over_time.signals import UNITS, Signal
from kilowait.core.units import DAY_S
from kilowait.files.rows import Row, read_csv, readable

CLOCK = "time_s"
DATES = ("datetime_utc", "datetime", "timestamp", "time_utc", "time", "date", "point_time")
ISSUED = ("issued_at", "generated_at", "updatedat")
ZONES = ("zone", "zone_id", "region")
UNIT = ("unit", "units")
VALUES = {
    "carbon": re.compile("co2|carbon|gco_?eq"),
    "water": re.compile("water|ewif|wue|l_per_kwh"),
    "price": re.compile("price|usd"),
    "power_budget": re.compile("budget|watt|_w$"),
    "quota": re.compile("quota|gpus"),
}
"""Columns of values by the signal, in names of small letters, digits and low lines."""

LIFE_CYCLE = re.compile("lca|life_?cycle")
OTHER_MONEY = re.compile("eur|gbp|chf|jpy|krw|aud|cad|inr|sek|nok|dkk|pln")
GRAMS = (("lb", 453.59237), ("kg", 1000.0), (r"(^|_)(t|tco2[a-z]*|tons?|tonnes?)(_|$)", 1e6))
"""Grams in each unit, by a pattern that finds it; grams where none does."""
ALIKE = 0.9
"""Where so many steps are of one length a longer one is a gap, and not a step of a tariff."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignalFile:
    """What a file holds: one signal, or forecasts in the order of their issue. `dated` says that seconds are those
    since 1970 (UTC), else they are on the clock of the jobs."""

    signals: tuple[Signal, ...]
    dated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Which column holds what, by its name in the file; None where there is none."""

    time: str
    value: str
    issued: str | None
    zone: str | None
    unit: str | None

    @classmethod
    def of(cls, path: Path, names: Sequence[str], signal: str, column: str | None) -> "_Columns":
        by_plain = {_plain(name): name for name in names}

        def found(wanted: Iterable[str]) -> str | None:
            return next((by_plain[name] for name in wanted if name in by_plain), None)

        time = found((CLOCK, *DATES))
        if time is None:
            time = next((name for plain, name in by_plain.items() if plain.startswith("datetime")), None)
        if time is None:
            raise InputError(f"{path}: no column of times: {CLOCK}, {', '.join(DATES)}; it has {', '.join(names)}")
        value = _value_column(path, names, signal, column)
        return cls(time=time, value=value, issued=found(ISSUED), zone=found(ZONES), unit=found(UNIT))


def read_signal(path: Path | str, name: str, *, zone: str | None = None, column: str | None = None) -> SignalFile:
    """The signal `name` of a file; of several zones that of `zone`, from `column` where several could be meant.

    Raises InputError, naming the file, the line and the value, for a file that cannot be read, times without a zone,
    out of order, twice or with a gap, and values that are no numbers or of an unknown unit.
    """
    path = Path(path)
    if name not in UNITS:
        raise InputError(f"unknown signal {name!r}; choose from {', '.join(UNITS)}")
    rows, said_unit = _rows(path, zone)
    first = next(rows, None)
    if first is None:
        raise InputError(f"{path}: no values of {name}" + (f" for the zone {zone}" if zone else ""))
    columns = _Columns.of(path, list(first.values), name, column)
    kept = [row for row in (first, *rows) if zone is None or columns.zone is None or row.values[columns.zone] == zone]
    _check_zone(path, kept, columns, zone)
    factor = _factor(path, name, kept[0].values.get(columns.unit or "", "") or said_unit or columns.value)
    by_issue = [
        (issued, list(group)) for issued, group in groupby(kept, lambda row: row.values.get(columns.issued or "", ""))
    ]
    signals = [_signal(name, group, columns, factor, issued) for issued, group in by_issue]
    signals.sort(key=lambda signal: signal.issued_s or 0.0)
    return SignalFile(signals=tuple(signals), dated=_plain(columns.time) != CLOCK)


def _rows(path: Path, zone: str | None) -> tuple[Iterator[Row], str]:
    """The rows of any format, and the unit that a service named beside them."""
    if path.suffix == ".json":
        return _json_rows(path)
    if path.suffix == ".parquet":
        return _parquet_rows(path, zone), ""
    return read_csv(path, lambda header: None), ""


def _parquet_rows(path: Path, zone: str | None) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.compute as pc

    from kilowait.files.parquet import read_any_table, text_rows

    table = read_any_table(path)
    named = next((column for column in table.column_names if _plain(column) in ZONES), None)
    if zone is not None and named is not None:
        zones = sorted(str(one) for one in table[named].unique().to_pylist())
        if zone not in zones:
            raise InputError(f"{path}: no values for the zone {zone!r}; it has {', '.join(zones)}")
        table = table.filter(pc.equal(table[named].cast(pa.string()), zone))
    yield from text_rows(path, table)


def _json_rows(path: Path) -> tuple[Iterator[Row], str]:
    """The values of an answer of Electricity Maps (`history`, `forecast`, `data`) or of WattTime (`data`, `meta`)."""
    with readable(path):
        try:
            answer = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: not readable as JSON: {error}") from error
    body = answer if isinstance(answer, dict) else {"data": answer}
    entries = next((body[key] for key in ("history", "forecast", "data") if isinstance(body.get(key), list)), None)
    said = body.get("meta")
    meta: Mapping[str, Any] = said if isinstance(said, dict) else body
    if entries is None or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path}: no list called history, forecast or data, as Electricity Maps and WattTime answer")
    issued = next((str(meta[key]) for key in ("generated_at", "updatedAt") if "forecast" in body and key in meta), "")
    flat = list[dict[str, Any]]()
    for entry in entries:
        inner = entry.get("forecast")
        flat += [{"generated_at": issued, **entry, **one} for one in (inner if isinstance(inner, list) else [{}])]
    found = ({key: _text(value) for key, value in entry.items() if key != "forecast"} for entry in flat)
    rows = (Row(path=path, line=line, values=values, unit="entry") for line, values in enumerate(found, start=1))
    return rows, str(meta.get("units") or "")


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _plain(name: str) -> str:
    return re.sub("[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def _value_column(path: Path, names: Sequence[str], signal: str, column: str | None) -> str:
    if column is not None:
        if column not in names:
            raise InputError(f"{path}: no column {column!r}; it has {', '.join(names)}")
        return column
    plain = {name: _plain(name) for name in names}
    found = [name for name in names if VALUES[signal].search(plain[name]) and "estimat" not in plain[name]]
    found = found or [name for name in names if plain[name] == "value"]
    if len(found) > 1 and len(life := [name for name in found if LIFE_CYCLE.search(plain[name])]) == 1:
        return life[0]
    if len(found) != 1:
        problem = f"several columns could be meant ({', '.join(found)})" if found else "no column is of it"
        raise InputError(f"{path}: {signal}: {problem}; name it: column=NAME, of {', '.join(names)}")
    return found[0]


def _check_zone(path: Path, rows: Sequence[Row], columns: _Columns, zone: str | None) -> None:
    if not rows:
        raise InputError(f"{path}: no values for the zone {zone!r}")
    zones = {row.values[columns.zone] for row in rows} if columns.zone else set()
    if len(zones) > 1:
        raise InputError(f"{path}: values of {len(zones)} zones; name one: zone=NAME, of {', '.join(sorted(zones))}")


def _factor(path: Path, name: str, unit: str) -> float:
    """What the values are multiplied with; raises InputError for a price whose unit nobody says."""
    plain = _plain(unit)
    per = 1e-3 if "mwh" in plain else 1.0
    if name == "carbon":
        return per * next((grams for word, grams in GRAMS if re.search(word, plain)), 1.0)
    if name == "price":
        if OTHER_MONEY.search(plain):
            raise InputError(f"{path}: prices must be in USD, got {unit!r}; convert them")
        if "kwh" not in plain and "mwh" not in plain:
            raise InputError(f"{path}: {unit!r}: a kWh or a MWh? Call the column usd_per_kwh or usd_per_mwh")
    return per


def _signal(name: str, rows: Sequence[Row], columns: _Columns, factor: float, issued: str) -> Signal:
    times_s = [_seconds(row, columns.time) for row in rows]
    _check_order(rows, times_s, columns.time)
    values = tuple(row.finite(columns.value) * factor for row in rows)
    step_s = _usual([late - early for early, late in pairwise(times_s)])[0] if len(rows) > 1 else DAY_S
    return Signal(
        name=name,
        times_s=tuple(times_s),
        values=values,
        ends_s=times_s[-1] + step_s,
        period_s=0.0 if len(rows) > 1 else DAY_S,
        issued_s=_seconds(rows[0], columns.issued) if issued and columns.issued else None,
    )


def _seconds(row: Row, column: str) -> float:
    """Seconds since 1970, or on the jobs' clock."""
    if _plain(column) == CLOCK:
        return row.number(column)
    text = row.text(column)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise row.wrong(column, "must be a date and time as 2026-01-31T13:00:00Z") from None
    if moment.tzinfo is None:
        if "utc" not in _plain(column):
            raise row.wrong(column, "must say its time zone, as Z or +01:00, or the column be called datetime_utc")
        moment = moment.replace(tzinfo=UTC)
    return moment.timestamp()


def _check_order(rows: Sequence[Row], times_s: Sequence[float], column: str) -> None:
    lengths_s = [late - early for early, late in pairwise(times_s)]
    usual_s, share = _usual(lengths_s)
    for row, length_s in zip(rows[1:], lengths_s, strict=True):
        if not (isfinite(length_s) and length_s > 0):
            raise row.wrong(column, "the same time twice" if length_s == 0 else "before the line above; sort the file")
        if share >= ALIKE and length_s > usual_s:
            problem = (
                f"a gap of {length_s:,.0f} s before it, where steps are of {usual_s:,.0f} s; fill it, or cut there"
            )
            raise row.wrong(column, problem)


def _usual(lengths_s: Sequence[float]) -> tuple[float, float]:
    """The most common length of a step, and its share."""
    if not lengths_s:
        return DAY_S, 0.0
    length_s, count = Counter(lengths_s).most_common(1)[0]
    return length_s, count / len(lengths_s)


def moment(text: str) -> float:
    """Seconds since 1970 of a date with its time zone; raises InputError showing it."""
    row: Mapping[str, str] = {"time": text}
    return _seconds(Row(path=Path("time"), line=1, values=row), "time")

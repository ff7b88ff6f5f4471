"""What an hour of a GPU costs, by type: a site's own table, as CSV or TOML.

CSV has the columns gpu_type and price_per_hour, and may have currency; others, such as source and date, are for its
readers. TOML has a table a type, as in a file of GPU types (`[A100]` with price_per_hour and currency), or
`A100 = 1.29` and one `currency`. A type that the table lacks costs what the file of GPU types says, if it does.
"""

import math
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kilowait.core.errors import InputError
from kilowait.core.hardware import GPU_TYPES, canonical, is_known
from kilowait.core.units import HOUR_S
from kilowait.files.rows import needs, read_csv, readable

CURRENCY = "USD"
"""Where a table names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPrice:
    """What one GPU costs for an hour."""

    per_hour: float
    currency: str = CURRENCY

    def cost(self, gpus: int, runtime_s: float) -> float:
        """Of so many GPUs for so many seconds."""
        return self.per_hour * gpus * runtime_s / HOUR_S


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPrices:
    """Prices by canonical name of a type, in one currency; `of` looks at the file of GPU types too."""

    by_type: Mapping[str, GpuPrice]

    def of(self, gpu_type: str) -> GpuPrice | None:
        """The price of a type, None where nobody says it."""
        if gpu_type in self.by_type:
            return self.by_type[gpu_type]
        board = GPU_TYPES.get(gpu_type)
        if board is None or board.price_per_hour is None:
            return None
        price = GpuPrice(per_hour=board.price_per_hour, currency=board.currency or CURRENCY)
        currencies = {known.currency for known in self.by_type.values()}
        return price if not currencies or price.currency in currencies else None


def read_gpu_prices(path: Path) -> GpuPrices:
    """The table in a file; raises InputError, naming the cell, for what is no type or price, and for two currencies."""
    rows = _toml(path) if path.suffix == ".toml" else _csv(path)
    by_type: dict[str, GpuPrice] = {}
    for name, price in rows:
        if name in by_type:
            raise InputError(f"{path}: {name} has two prices; keep one")
        by_type[name] = price
    if not by_type:
        raise InputError(f"{path}: no prices; a line is TYPE,PRICE_PER_HOUR under the columns gpu_type,price_per_hour")
    _check_currencies(path, by_type.values())
    return GpuPrices(by_type=by_type)


def _csv(path: Path) -> Iterator[tuple[str, GpuPrice]]:
    for row in read_csv(path, needs(path, ("gpu_type", "price_per_hour"))):
        name = row.text("gpu_type")
        if not is_known(name):
            raise row.wrong("gpu_type", _unknown(name))
        currency = row.optional("currency") or CURRENCY
        yield canonical(name), GpuPrice(per_hour=row.number("price_per_hour"), currency=currency)


def _toml(path: Path) -> Iterator[tuple[str, GpuPrice]]:
    with readable(path):
        text = path.read_text(encoding="utf-8-sig")
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not readable as TOML: {error}") from error
    currency = table.pop("currency", CURRENCY)
    for name, entry in table.items():
        if not is_known(name):
            raise InputError(f"{path}: {_unknown(name)}")
        yield canonical(name), _entry(path, name, entry, currency)


def _entry(path: Path, name: str, entry: Any, currency: Any) -> GpuPrice:
    fields = entry if isinstance(entry, dict) else {"price_per_hour": entry}
    price: Any = fields.get("price_per_hour")
    own_currency = fields.get("currency", currency)
    if type(price) not in (int, float) or not math.isfinite(price) or price < 0:
        raise InputError(f"{path}: {name}: price_per_hour must be a finite number >= 0, got {price!r}")
    if not isinstance(own_currency, str):
        raise InputError(f"{path}: {name}: currency must be a text such as USD, got {own_currency!r}")
    return GpuPrice(per_hour=float(price), currency=own_currency)


def _unknown(name: str) -> str:
    try:
        canonical(name)
    except InputError as error:
        return str(error)
    return name


def _check_currencies(path: Path, prices: Iterable[GpuPrice]) -> None:
    currencies = sorted({price.currency for price in prices})
    if len(currencies) > 1:
        raise InputError(f"{path}: prices in {' and '.join(currencies)}; give all of them in one currency")

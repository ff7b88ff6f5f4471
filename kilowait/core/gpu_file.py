"""Files of GPU types: TOML, one table a type, in the units of data sheets.

| field | meaning |
|---|---|
| memory_gb, bandwidth_gb_per_s | memory in 10^9 bytes, and what it moves in a second |
| tensor_tflops | dense FP16/BF16 with FP32 accumulation; without tensor cores plain FP16 |
| fp32_tflops | plain FP32; optional tf32_tflops and fp64_tflops where the architecture's rule does not hold |
| peak_w, idle_w | the board's power limit, and a board without a job (optional), in watts |
| idle_provenance | measured or estimated; of a site's file measured where it is left out |
| multiprocessors, l2_mb | streaming multiprocessors or compute units; second-level cache in 2^20 bytes |
| capability | CUDA's compute capability; left out for other vendors |
| memory_kind | such as HBM3 or GDDR6 |
| nvml, ray, aliases | the names that the driver, Ray and people use (optional lists) |
| source | where the figures are from |
| price_per_hour, currency, host_w | optional: what an hour costs, and a GPU's share of its host's watts |
| host_factor, device_factor | optional: times of the site's board over the device model's (`kilowait calibrate`) |
| factor_provenance | measured, as where it is left out, or pretended |
| mig | optional: slices, memory_slices and profiles, which become types of their own |

A site's table for a type that is known needs only the fields that it overrides.
"""

import math
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kilowait.core.errors import InputError
from kilowait.core.gpu_type import GpuType, MigLayout
from kilowait.core.jobs import Provenance

EXAMPLE = (
    '[My-GPU] nvml=["{board}"] memory_gb=24 tensor_tflops=100 fp32_tflops=25 bandwidth_gb_per_s=600 peak_w=200 '
    'multiprocessors=64 l2_mb=6 capability=8.6 memory_kind="GDDR6" source="data sheet" (a line each)'
)


def read_tables(text: str, where: str) -> dict[str, dict[str, Any]]:
    """The tables of a file by type, checked as far as one field at a time can be; raises InputError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{where}: is not TOML: {error}") from None
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise InputError(f"{where}: {name} = {table!r} stands outside a table; begin each type with [NAME]")
        for field, value in table.items():
            if field not in _FIELDS:
                raise InputError(f"{where}: [{name}]: unknown field {field!r}; known: {', '.join(_FIELDS)}")
            expected = _FIELDS[field](value)
            if expected:
                raise InputError(f"{where}: [{name}]: {field} must be {expected}, got {value!r}")
    return tables


def read_file(path: Path) -> dict[str, dict[str, Any]]:
    """The tables of a site's file, with `idle_w` taken as measured where it does not say; raises InputError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise InputError(f"{path}: the file of GPU types cannot be read: {reason}") from None
    tables = read_tables(text, str(path))
    for table in tables.values():
        if "idle_w" in table:
            table.setdefault("idle_provenance", Provenance.MEASURED.value)
    return tables


def gpu_type(name: str, row: Mapping[str, Any], where: str) -> GpuType:
    """A row as a GPU type, in SI units; raises InputError naming a field that is missing or out of range."""
    missing = [field for field in _REQUIRED if field not in row]
    if missing:
        raise InputError(f"{where}: [{name}]: {', '.join(missing)} missing; see the fields in kilowait.core.gpu_file")
    idle_w = row.get("idle_w")
    if idle_w is not None and idle_w >= row["peak_w"]:
        raise InputError(f"{where}: [{name}]: idle_w must be below peak_w {row['peak_w']:g}, got {idle_w!r}")
    return GpuType(
        name=name,
        memory_bytes=int(row["memory_gb"] * 10**9),
        tensor_flops=row["tensor_tflops"] * 1e12,
        fp32_flops=row["fp32_tflops"] * 1e12,
        bandwidth=row["bandwidth_gb_per_s"] * 1e9,
        peak_w=row["peak_w"],
        idle_w=idle_w,
        idle_provenance=Provenance(row.get("idle_provenance", Provenance.ESTIMATED)),
        multiprocessors=row["multiprocessors"],
        l2_bytes=int(row["l2_mb"] * 2**20),
        capability=row.get("capability"),
        memory_kind=row["memory_kind"],
        nvml=tuple(row.get("nvml", ())),
        ray=tuple(row.get("ray", ())),
        aliases=tuple(row.get("aliases", ())),
        source=row["source"],
        published_tf32_flops=_flops(row.get("tf32_tflops")),
        published_fp64_flops=_flops(row.get("fp64_tflops")),
        price_per_hour=row.get("price_per_hour"),
        currency=row.get("currency"),
        host_w=row.get("host_w"),
        host_factor=row.get("host_factor"),
        device_factor=row.get("device_factor"),
        factor_provenance=Provenance(row.get("factor_provenance", Provenance.MEASURED)),
        mig=_layout(name, row["mig"], where) if "mig" in row else None,
    )


def _flops(tflops: float | None) -> float | None:
    return None if tflops is None else tflops * 1e12


def _layout(name: str, row: Mapping[str, Any], where: str) -> MigLayout:
    try:
        layout = MigLayout(
            slices=int(row["slices"]), memory_slices=int(row["memory_slices"]), profiles=tuple(row["profiles"])
        )
        for profile in layout.profiles:
            compute, gigabytes = (int(part.rstrip("gb")) for part in profile.split("."))
            if not (1 <= compute <= layout.slices and gigabytes >= 1):
                raise ValueError(profile)
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise InputError(
            f"{where}: [{name}]: mig must be slices, memory_slices and profiles such as 1g.5gb, got {dict(row)!r}"
        ) from error
    return layout


def _number(least: str, holds: Callable[[float], bool]) -> Callable[[object], str]:
    def check(value: object) -> str:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return "" if is_number and math.isfinite(value) and holds(value) else f"a number {least}"  # type: ignore[arg-type]

    return check


def _text(value: object) -> str:
    return "" if isinstance(value, str) and value.strip() else "text"


def _whole(value: object) -> str:
    return "" if isinstance(value, int) and not isinstance(value, bool) and value > 0 else "a whole number > 0"


def _names(value: object) -> str:
    valid = isinstance(value, list) and all(isinstance(name, str) and name.strip() for name in value)
    return "" if valid else 'a list of names, such as ["NVIDIA L4"]'


_positive = _number("> 0", lambda value: value > 0)
_not_negative = _number(">= 0", lambda value: value >= 0)
_FIELDS: Mapping[str, Callable[[object], str]] = {
    "memory_gb": _positive,
    "tensor_tflops": _positive,
    "fp32_tflops": _positive,
    "tf32_tflops": _positive,
    "fp64_tflops": _positive,
    "bandwidth_gb_per_s": _positive,
    "peak_w": _positive,
    "idle_w": _positive,
    "idle_provenance": lambda value: "" if value in ("measured", "estimated") else "measured or estimated",
    "multiprocessors": _whole,
    "l2_mb": _positive,
    "capability": _positive,
    "memory_kind": _text,
    "nvml": _names,
    "ray": _names,
    "aliases": _names,
    "source": _text,
    "price_per_hour": _not_negative,
    "currency": _text,
    "host_w": _not_negative,
    "host_factor": _positive,
    "device_factor": _positive,
    "factor_provenance": lambda value: "" if value in ("measured", "pretended") else "measured or pretended",
    "mig": lambda value: "" if isinstance(value, dict) else "a table",
}
"""What each field must be: a check that returns what it should have been, empty where it is right."""

_REQUIRED = (
    "memory_gb",
    "tensor_tflops",
    "fp32_tflops",
    "bandwidth_gb_per_s",
    "peak_w",
    "multiprocessors",
    "l2_mb",
    "memory_kind",
    "source",
)

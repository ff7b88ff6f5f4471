"""What `kilowait predict` says of a program's power: watts a board, and what power limits make of it; modelled."""

from collections.abc import Mapping
from typing import Any

from kilowait.core.jobs import Prediction
from kilowait.core.units import JOULES_PER_KWH


def watts_of(prediction: Prediction, gpus: int) -> dict[str, float]:
    """Average watts of each GPU, for a type that the power model knows."""
    return {"power_w": _watts(prediction.runtime_s, prediction.energy_kwh, gpus)} if prediction.limits else {}


def limits_of(prediction: Prediction, gpus: int) -> dict[str, Any]:
    """Each power limit with seconds, watts of each GPU, and joules of all."""
    rows = [
        {
            "limit_w": limit.limit_w,
            "runtime_s": limit.runtime_s,
            "power_w": _watts(limit.runtime_s, limit.energy_kwh, gpus),
            "energy_j": limit.energy_kwh * JOULES_PER_KWH,
        }
        for limit in prediction.limits
    ]
    return {"power_limits": rows} if rows else {}


def limit_lines(devices: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table a type, for people; changes are against no limit."""
    lines = list[str]()
    for name, numbers in devices.items():
        if "power_limits" in numbers:
            lines.append(f"  {name} under a power limit (modelled):")
            lines.append("    limit W   runtime_s  change   watts  change of joules")
            lines += [_line(row, numbers) for row in numbers["power_limits"]]
    return lines


def _line(row: Mapping[str, float], numbers: Mapping[str, float]) -> str:
    slower, saved = (row[name] / numbers[name] - 1 for name in ("runtime_s", "energy_j"))
    seconds = f"{row['runtime_s']:.4g}"
    return f"    {row['limit_w']:>7.0f}  {seconds:>10}  {slower:>+6.1%}  {row['power_w']:>6.0f}  {saved:>+16.1%}"


def _watts(runtime_s: float, energy_kwh: float, gpus: int) -> float:
    return energy_kwh * JOULES_PER_KWH / runtime_s / gpus

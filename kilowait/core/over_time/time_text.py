"""A span of time as people write it."""

import math

from kilowait.core.errors import InputError
from kilowait.core.units import DAY_S, HOUR_S

UNITS = {"s": 1.0, "m": 60.0, "h": HOUR_S, "d": DAY_S}


def seconds(text: str) -> float:
    """Seconds from `4h`, `90m`, `30s`, `2d` or a number of seconds."""
    unit = UNITS.get(text[-1:])
    try:
        value = float(text if unit is None else text[:-1]) * (1.0 if unit is None else unit)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise InputError(f"{text!r} is not a time; write 4h, 90m, 30s, 2d or a number of seconds")
    return value

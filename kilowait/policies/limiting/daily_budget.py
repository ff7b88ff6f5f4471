"""A power budget as an operator says it: the same all day, or other watts from other times of the day on."""

import re
from collections.abc import Sequence
from math import isfinite

from kilowait.core.errors import InputError
from kilowait.core.over_time.signals import Signal
from kilowait.core.units import DAY_S
from kilowait.policies.limiting.promised_watts import BUDGET

TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)")


def daily_budget(steps: Sequence[tuple[str, float]], now_s: float) -> Signal:
    """The budget that holds every day from these times on (HH:MM, UTC), in watts; raises InputError for none."""
    by_time = {_seconds(text): watts for text, watts in steps}
    if len(by_time) != len(steps) or not steps:
        raise InputError("power budget: say watts from one time of the day on, or several, each time once")
    if wrong := [watts for watts in by_time.values() if not (isfinite(watts) and watts > 0)]:
        raise InputError(f"power budget: watts must be finite and > 0, got {wrong[0]!r}; remove it for none")
    in_order = sorted(by_time.items())
    if in_order[0][0]:  # what holds over midnight
        in_order = [(0, in_order[-1][1]), *in_order]
    today_s = now_s // DAY_S * DAY_S
    times_s, watts = zip(*((today_s + at, value) for at, value in in_order), strict=True)
    return Signal(name=BUDGET, times_s=times_s, values=watts, ends_s=today_s + DAY_S, period_s=DAY_S)


def no_budget(now_s: float) -> Signal:
    """One that is over: from now on there is none."""
    return Signal(name=BUDGET, times_s=(now_s - 1.0,), values=(0.0,), ends_s=now_s)


def _seconds(text: str) -> int:
    found = TIME.fullmatch(text)
    if found is None:
        raise InputError(f"power budget: a time of the day is HH:MM in UTC, got {text!r}")
    return int(found[1]) * 3600 + int(found[2]) * 60

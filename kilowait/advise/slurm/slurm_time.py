"""Slurm's ways of writing how long something takes."""

import math
import re
from datetime import datetime

from kilowait.core.errors import InputError

_FORM = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?(?:\.\d+)?")
_ENDLESS = ("unlimited", "infinite", "-1")
_UNKNOWN = ("", "n/a", "not_set", "invalid", "partition_limit", "none", "unknown", "0")


def seconds_of(text: str) -> float | None:
    """Seconds of `90` (minutes), `90:00`, `1:30:00`, `1-12`, `1-12:30` or `1-12:30:00`; infinity for no limit.

    None where nothing was set; raises InputError for what is no time.
    """
    word = text.strip().lower()
    if word in _ENDLESS:
        return math.inf
    if word in _UNKNOWN:
        return None
    match = _FORM.fullmatch(word)
    if match is None:
        raise InputError(f"{text!r} is no time of Slurm's; write minutes, hours:minutes:seconds or days-hours:minutes")
    days, first, second, third = (None if part is None else int(part) for part in match.groups())
    if days is not None:
        return 86400.0 * days + 3600.0 * (first or 0) + 60.0 * (second or 0) + (third or 0)
    if third is not None:
        return 3600.0 * (first or 0) + 60.0 * (second or 0) + third
    return 60.0 * (first or 0) + (second or 0)


def written_time(seconds: float) -> str:
    """`1-12:30:00`, as sbatch takes it; whole seconds, rounded up."""
    whole = math.ceil(seconds)
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600:02}:{rest % 3600 // 60:02}:{rest % 60:02}"
    return f"{days}-{clock}" if days else clock


def local_time(moment: str) -> str:
    """A moment with its zone in this machine's time, as Slurm's commands show it."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%dT%H:%M:%S")

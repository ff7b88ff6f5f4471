"""`kilowait predict --within 8h`: the chance that a run started now is done in time, by device type."""

import argparse
from collections.abc import Mapping
from typing import Any

from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.core.over_time.deadlines import chance_within
from kilowait.core.over_time.time_text import seconds


def duration(text: str) -> float:
    """Seconds from `8h`, for argparse."""
    try:
        return seconds(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def chance_of(prediction: Prediction, within_s: float | None) -> dict[str, Any]:
    """The chance, {} where nobody asks."""
    return {} if within_s is None else {"within": {"seconds": within_s, "chance": chance_within(prediction, within_s)}}


def within_lines(devices: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for people, the surest type first; nothing where nobody asked."""
    asked = {name: numbers["within"] for name, numbers in devices.items() if "within" in numbers}
    if not asked:
        return []
    known = sorted(
        ((name, one["chance"]) for name, one in asked.items() if one["chance"] is not None),
        key=lambda pair: -pair[1],
    )
    told = [f"{name} {chance:.0%}" for name, chance in known]
    told += [f"{name} unknown" for name, one in asked.items() if one["chance"] is None]
    hours = next(iter(asked.values()))["seconds"] / 3600
    return [f"  chance to be done within {hours:g} h, started now: {', '.join(told)}"]

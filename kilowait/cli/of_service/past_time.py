"""A time on the command line: `12h` ago, or a moment."""

import argparse
import time
from datetime import datetime


def past_time(text: str) -> float:
    """A time as seconds since the epoch: ISO 8601 with a zone, or so long ago."""
    if (unit := {"m": 60.0, "h": 3600.0, "d": 86400.0}.get(text[-1:])) and text[:-1].replace(".", "", 1).isdecimal():
        return time.time() - float(text[:-1]) * unit
    return moment(text, "90m, 12h, 7d for so long ago, or ")


def moment(text: str, more: str = "") -> float:
    """A time as seconds since the epoch: ISO 8601 with a zone."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; give {more}2026-12-01T18:00:00+00:00")
    return at.timestamp()

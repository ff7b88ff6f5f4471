"""What the tests of trace readers share."""

import re

import pytest

from kilowait.core.errors import InputError
from kilowait.lab.backtest.traces import read_trace


def write_lines(path, *lines):
    """Write lines, and hand the path back."""
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def counts(trace):
    return {reason.name: count for reason, count in trace.report.set_aside.items()}


def refused(path, name, message):
    with pytest.raises(InputError, match=re.escape(f"{path}, ") + message):
        read_trace(path, name)

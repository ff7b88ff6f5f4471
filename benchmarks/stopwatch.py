"""How long something takes: a call in this process, a program in one of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any


def timed_ms(act: Callable[[], Any]) -> float:
    """Milliseconds that a call takes."""
    began_s = time.perf_counter()
    act()
    return (time.perf_counter() - began_s) * 1e3


def program_seconds(
    words: Sequence[str], variables: Mapping[str, str], folder: Path | None = None
) -> tuple[float, float]:
    """Seconds by the clock and of CPU (children that were waited for included) of Python with these words.

    It has these variables besides those of this process; raises CalledProcessError where it fails.
    """
    environment = {**os.environ, **variables}
    begin_s, before = time.monotonic(), os.times()
    subprocess.run([sys.executable, *words], cwd=folder, env=environment, check=True, stdout=subprocess.DEVNULL)
    after = os.times()
    cpu_s = after.children_user - before.children_user + after.children_system - before.children_system
    return time.monotonic() - begin_s, cpu_s

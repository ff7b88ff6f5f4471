"""Which tasks an array has, as people write it: `0-99`, `0-99:10`, `1,3,5-9`, with `%8` behind it for 8 at once."""

import re
from collections.abc import Sequence
from itertools import pairwise

from kilowait.core.errors import InputError
from kilowait.core.submission_limits import MAX_TASKS

_PART = r"[0-9]{1,6}(-[0-9]{1,6}(:[1-9][0-9]{0,5})?)?"
NUMBERS = rf"^{_PART}(,{_PART})*$"
PATTERN = rf"^{_PART}(,{_PART})*(%[1-9][0-9]{{0,5}})?$"
FORMS = "give numbers, as in 0-99, 0-99:10 or 1,3,5-9, and %8 behind them for 8 at once"


def task_numbers(text: str) -> tuple[tuple[int, ...], int | None]:
    """The numbers in order, and how many may run at once, None for any number; raises InputError."""
    if not re.fullmatch(PATTERN, text):
        raise InputError(f"array {text[:60]!r}: not the numbers of tasks; {FORMS}")
    parts, _, limit = text.partition("%")
    numbers = set[int]()
    for part in parts.split(","):
        if not (chosen := _range(part)):
            raise InputError(f"array {text[:60]!r}: {part!r} goes nowhere; {FORMS}")
        if len(numbers) + len(chosen) > 2 * MAX_TASKS or len(numbers := numbers | set(chosen)) > MAX_TASKS:
            raise InputError(f"array {text[:60]!r}: more than {MAX_TASKS:,} tasks; submit it in parts")
    return tuple(sorted(numbers)), int(limit) if limit else None


def named_tasks(text: str) -> tuple[range, ...]:
    """The numbers that are meant of an array that is there, by `NUMBERS`; raises InputError."""
    if not re.fullmatch(NUMBERS, text):
        raise InputError(f"tasks {text[:60]!r}: not the numbers of tasks; give them as in 0-9 or 1,3,5-9")
    return tuple(map(_range, text.split(",")))


def _range(part: str) -> range:
    first, _, rest = part.partition("-")
    last, _, step = rest.partition(":")
    return range(int(first), int(last or first) + 1, int(step or 1))


def shortened(numbers: Sequence[int]) -> str:
    """Numbers in order, those that follow each other as `0-99`."""
    breaks = [0, *(n for n, (one, two) in enumerate(pairwise(numbers), 1) if two != one + 1), len(numbers)]
    runs = [numbers[start:end] for start, end in pairwise(breaks)]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs if run)

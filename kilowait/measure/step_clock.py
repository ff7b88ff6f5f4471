"""When a program was how far: of all the counters that it writes, the one that its time goes by.

A counter of an inner loop begins anew with each round of the loop around it; the rounds are told by the line itself
(`Epoch: [3][120/5005]`), or counted. What is kept of each is bounded: `MOST_MARKS` moments, the oldest of which thin
out as more come, and `MOST_COUNTERS` counters.
"""

import contextlib
import re
from itertools import chain, pairwise
from pathlib import Path

import msgspec
from msgspec import Struct

from kilowait.core.errors import InputError
from kilowait.measure.step_lines import OWN, PATTERN_VARIABLE, StepCounter, StepLines

MOST_MARKS = 400
MOST_COUNTERS = 64
MOST_BYTES = 1 << 20
MOST_NUMBER = 1e15
AT_ONCE_S = 0.01
_LINE_END = re.compile(r"[\r\n]+")


class StepRecord(Struct, kw_only=True):
    """A counter and its marks `(seconds since the start, rounds before this one, steps of this one)`.

    `first` is the round that was first seen, as it was written, `rounds` how many there are and `steps` how many of
    these a round has, 0 where nothing says so. `began_s` is the program's start since the epoch, `words` is what stands
    before the number, and `drawn` says that it is a bar.
    """

    words: str
    began_s: float = 0.0
    first: float = 1.0
    rounds: float = 0.0
    steps: float = 0.0
    drawn: bool = False
    nested: bool = False
    marks: list[tuple[float, float, float]] = []
    seconds: float = 0.0
    stride: int = 1
    read: int = 0


class StepClock:
    """Takes in what a program writes, piece by piece, with the seconds since its start."""

    def __init__(self, template: str = "") -> None:
        self._lines, self._rest, self._seen_s = StepLines(template), "", 0.0
        self._counters: dict[tuple[str, float], StepRecord] = {}
        self._rounds = 0.0

    def write(self, data: bytes, at_s: float) -> bool:
        """Read the lines in a piece of output; returns whether any of them counted."""
        *lines, self._rest = _LINE_END.split(self._rest + data.decode(errors="replace"))
        if len(self._rest) > 4096 or self._rest.rstrip().endswith("]"):  # a bar ends its line when it draws the next
            lines, self._rest = [*lines, self._rest], ""
        counters = [counter for line in lines if (counter := self._lines.read(line)) is not None]
        for counter in counters:
            self._take(counter, at_s)
        return bool(counters)

    def record(self) -> StepRecord | None:
        """The counter by which the program's time goes, None before there is one."""
        own = [one for one in self._counters.values() if one.words in (OWN, PATTERN_VARIABLE)]
        return max(own or self._counters.values(), key=_weight, default=None)

    def _take(self, counter: StepCounter, at_s: float) -> None:
        *outer, (now, of) = counter.levels
        epochs = not outer and "epoch" in counter.label
        if epochs and of:
            self._rounds = of
        key = counter.label, of if outer or counter.drawn else 0.0
        record = self._counters.get(key)
        if record is None:
            if len(self._counters) >= MOST_COUNTERS:
                return
            first = outer[0][0] if outer else now
            record = StepRecord(words=counter.label, first=first, drawn=counter.drawn, nested=bool(outer))
            self._counters[key] = record
        record.seconds, self._seen_s = record.seconds + at_s - self._seen_s, at_s
        record.steps, record.rounds = of, outer[0][1] if outer else 0.0 if epochs else self._rounds
        _mark(record, at_s, outer[0][0] - record.first if outer else None, now)


def _mark(record: StepRecord, at_s: float, rounds: float | None, now: float) -> None:
    """Add a mark where the program is further than at the last one."""
    last = record.marks[-1] if record.marks else (0.0, 0.0, -1.0)
    if rounds is None:
        rounds = last[1] + (1 if now < last[2] else 0)
    if (rounds, now) <= last[1:]:
        return
    mark = (round(at_s, 3), rounds, now)
    if len(record.marks) > 1 and at_s - record.marks[-1][0] < AT_ONCE_S:  # one piece of output: when is not known
        record.marks[-1] = record.marks[-1][0], rounds, now
    elif record.read % record.stride == 0 or len(record.marks) < 2:
        record.marks.append(mark)
    else:
        record.marks[-1] = mark
    record.read += 1
    if len(record.marks) > MOST_MARKS:
        record.marks = [record.marks[0], *record.marks[1:-1][1::2], record.marks[-1]]
        record.stride *= 2


def _weight(record: StepRecord) -> tuple[bool, float]:
    return bool(record.steps or record.rounds), record.seconds


class StepFile:
    """Keeps the record of a running program in a file for others to read: at most once a second, and ever less often.

    A fault in reading what a program writes must not cost its output, so a template that cannot be is no template, and
    a file that cannot be written (a full disk) is written later.
    """

    def __init__(self, path: Path, template: str, began_s: float) -> None:
        try:
            self._clock = StepClock(template)
        except InputError:
            self._clock = StepClock()
        self._path, self._began_s, self._next_s = path, began_s, 0.0

    def write(self, data: bytes, at_s: float) -> None:
        """The program wrote this, so many seconds after its start."""
        if not self._clock.write(data, at_s) or at_s < self._next_s or (record := self._clock.record()) is None:
            return
        record.began_s, self._next_s = self._began_s, at_s + max(1.0, at_s / 100)
        beside = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            beside.write_bytes(msgspec.json.encode(record))
            beside.replace(self._path)


def read_steps(path: Path) -> StepRecord | None:
    """What a `StepFile` keeps; None before there is anything, and for what none has written."""
    try:
        with path.open("rb") as file:
            record = msgspec.json.decode(file.read(MOST_BYTES), type=StepRecord)
    except (FileNotFoundError, msgspec.DecodeError):
        return None
    return record if _is_sound(record) else None


def _is_sound(record: StepRecord) -> bool:
    """Whether a clock may have written it: numbers that can be, and marks that go forward."""
    marks = record.marks
    numbers = (record.began_s, record.first, record.rounds, record.steps, *chain.from_iterable(marks))
    return (
        0 < len(marks) <= MOST_MARKS
        and all(0 <= number <= MOST_NUMBER for number in numbers)
        and all(before[0] <= after[0] and before[1:] < after[1:] for before, after in pairwise(marks))
    )

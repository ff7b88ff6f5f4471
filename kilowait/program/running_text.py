"""What text asks for that is no call of Python: comments, docstrings, files that do not parse."""

import re
from collections.abc import Iterator
from dataclasses import replace

from kilowait.program.launchers import COUNTS, LAUNCHERS, TYPES, GpuReading, Rank, meaning, plain, read_words, split

_COMMENT = re.compile(r"#(.{0,400})")
_NOTE = re.compile(r"^\s*(gpus?|gpu[-_ ]types?|accelerators?|num_gpus)\s*[:=]\s*([^;()]{1,60})", re.IGNORECASE)
_PLAIN_START = re.compile(r"(?<![\w./])python[0-9.]*\s+(-u\s+)?[\w./-]+\.py\b")
_ASSIGNED = re.compile(
    rf"(?i)\b({'|'.join(sorted((COUNTS | TYPES) - {'gpu', 'accelerator'}))})['\"\]]*\s*[=:,]\s*"
    r"(\[[^\]\n]{0,200}\]|\"[^\"\n]{0,80}\"|'[^'\n]{0,80}'|[\w.-]{1,80})"
)
"""A name and its value in text that does not parse."""


def read_comments(text: str) -> Iterator[GpuReading]:
    """What comments ask for, by a note (`# gpus: 4`) or a launch command."""
    for number, line in enumerate(text.splitlines(), start=1):
        for comment in _COMMENT.findall(line):
            yield from _read_comment(comment, f"line {number}, comment")


def started_plainly(text: str) -> bool:
    """Whether its text also says that it is started by Python alone, so that launch commands are one way of several."""
    plain_lines = (line for line in text.splitlines() if not any(launcher in line for launcher in LAUNCHERS))
    return any(_PLAIN_START.search(line[:400]) for line in plain_lines)


def one_way(reading: GpuReading) -> GpuReading:
    """The reading as a remark, without its number."""
    return replace(reading, what=f"{reading.what} is one way to start it among others, left out", gpus=None)


def read_lines(text: str) -> Iterator[GpuReading]:
    """The fallback: names with values, line by line, at a comment's rank since no call is certain."""
    for number, line in enumerate(text.splitlines(), start=1):
        code = line.partition("#")[0]
        for name, value in _ASSIGNED.findall(code):
            yield from named_reading(Rank.COMMENT, f"line {number}", f"{name}={value}", plain(name), value.strip("'\""))
        yield from read_launch(code, f"line {number}")


def _read_comment(comment: str, where: str) -> Iterator[GpuReading]:
    note = _NOTE.match(comment)
    if note:
        name = "gpu_type" if "type" in note[1].lower() else "gpus"
        yield from named_reading(Rank.COMMENT, where, note[0].strip(), name, note[2].strip(), remark=False)
    yield from read_launch(comment, where)


def read_launch(line: str, where: str) -> Iterator[GpuReading]:
    """A launch command in running text: `torchrun --nproc_per_node 4 x.py`, `SBATCH --gres=gpu:2`."""
    if len(line) <= 400 and ("SBATCH" in line or any(launcher in line for launcher in LAUNCHERS)):
        readings = read_words(split(line), Rank.COMMENT, where)
        yield from (reading for reading in readings if reading.gpus or reading.gpu_types)


def named_reading(
    rank: Rank, where: str, what: str, name: str, value: object, *, remark: bool = True
) -> Iterator[GpuReading]:
    """At most one reading of a named value; without a meaning, a remark where a number was due."""
    gpus, gpu_types = meaning(name, value)
    if gpus or gpu_types:
        yield GpuReading(rank=rank, where=where, what=what, gpus=gpus, gpu_types=gpu_types)
    elif remark and name in COUNTS:
        yield GpuReading(rank=rank, where=where, what=f"{what} is no number of GPUs, left out")

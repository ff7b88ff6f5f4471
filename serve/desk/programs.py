"""From what was submitted to a program that can be run and a source that can be predicted."""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import msgspec

from kilowait.core.errors import SourceError
from kilowait.core.submission import Program
from kilowait.program.job_source import JobSource, check_path, check_paths
from kilowait.program.reach import reach
from kilowait.program.read import read_bytes
from kilowait.program.source import check_lines
from kilowait.program.tree import Tree

from ..wire import schemas
from ..wire.problems import Refusal
from .archive import unpacked
from .runnable import check_runnable

Reading = tuple[JobSource, tuple[str, ...]]
"""What is predicted, and what may be missing in it."""

KEPT, KEPT_BYTES = 1000, 100_000
"""Readings that are remembered, each of a program of at most so many bytes: 100 MB at the worst."""


def program_of(asked: schemas.SubmissionBody) -> Program:
    """The files, the entrypoint and what it is called with; raises Refusal for files that cannot be written or run."""
    with _refused("entrypoint"):
        check_path(asked.entrypoint)
        if asked.entrypoint.startswith("-"):
            raise SourceError(f"{asked.entrypoint}: begins with a dash, as options do; rename it")
    files: Mapping[str, str] = {asked.entrypoint: asked.source or ""}
    if asked.archive is not None:
        with _refused("archive"):
            check_paths(files := unpacked(asked.archive))
    with _refused("entrypoint"):
        check_runnable(asked.entrypoint, files.get(asked.entrypoint, ""))
    return Program(
        files=files,
        entrypoint=asked.entrypoint,
        arguments=tuple(asked.arguments),
        environment=asked.environment,
        timeout_s=asked.timeout_s,
    )


class Readings:
    """Remembers the source of each program: following the imports of one takes milliseconds."""

    def __init__(self) -> None:
        self._kept: dict[bytes, Reading] = {}

    async def of(self, program: Program) -> Reading:
        """As `source_of`, which it calls beside the loop that answers everybody."""
        encoded = msgspec.json.encode((program.files, program.entrypoint, program.arguments))
        key = hashlib.sha256(encoded).digest()
        if (reading := self._kept.get(key)) is None:
            reading = await asyncio.to_thread(source_of, program)
            if len(self._kept) >= KEPT:
                self._kept.clear()
            if len(encoded) <= KEPT_BYTES:
                self._kept[key] = reading
        return reading


def source_of(program: Program) -> Reading:
    """What is predicted: the files that the entrypoint reaches, with its arguments; and what may be missing in it.

    Raises Refusal where the entrypoint is not there, and SourceError where it is no text worth predicting.
    """
    if program.entrypoint not in program.files:
        have = ", ".join(list(program.files)[:10])
        raise Refusal(
            422, "invalid input", f"entrypoint {program.entrypoint!r} is not in the archive", field="entrypoint",
            remedy=f"name one of: {have}",
        )  # fmt: skip
    for path, text in program.files.items():
        if path.endswith(".py") or path == program.entrypoint:
            check_lines(path, text)
    files = {path: text.encode() for path, text in program.files.items()}
    if len(files) == 1:
        reading = read_bytes(program.entrypoint, files[program.entrypoint], program.arguments)
        return reading.source, ()
    reached = reach(Tree.of(files, "archive"), program.entrypoint, program.arguments)
    source = JobSource.of(reached, program.entrypoint, program.arguments)
    return source, (*reached.problems, *reached.notes)


@contextmanager
def _refused(field: str) -> Iterator[None]:
    """A file that cannot be used, as a refusal of the field that it came in."""
    try:
        yield
    except SourceError as error:
        detail, _, remedy = str(error).partition("; ")
        raise Refusal(422, "invalid input", detail, field=field, remedy=remedy or f"correct {field}") from None

"""Reading what was submitted, in one go: what of it is predicted, what may be missing in it, and what it asks for.

`python -m kilowait.program.submitted` reads one `GivenProgram` as JSON from its standard input and answers with one
`Outcome`: so a service has a large program read without holding up whoever asks it for something else.
"""

import os
import resource
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec
from msgspec import Struct
from msgspec.structs import replace as replaced

from kilowait.core.errors import InputError, SourceError
from kilowait.core.submission import BASH, PYTHON, Launcher
from kilowait.program.job_source import JobSource
from kilowait.program.launch.followed import entrypoint_in
from kilowait.program.launch.shell import follow_script
from kilowait.program.launch.start import ranks
from kilowait.program.reach import reach
from kilowait.program.read import read_bytes
from kilowait.program.resources import GpuRequest, read_request
from kilowait.program.text import texts
from kilowait.program.tree import Tree

CPU_S = 60
"""Of a process that reads one program: the worst that is taken needs about a third."""

MEMORY_BYTES = 4_000_000_000
"""Of address space of such a process: the syntax tree of 1 MB of text takes about 1 GB at the worst."""

NICENESS = 5
"""How far such a process stands behind those that answer."""

MAX_REMARKS = 100
"""Remarks on one program that are told: a long list says no more, and is sent with each answer."""


class GivenProgram(Struct, frozen=True, kw_only=True):
    """Files by path, the one that `launcher` runs, its arguments; `gpus` and `gpu_types` where the user gave them."""

    files: Mapping[str, str]
    entrypoint: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str | None] = {}
    gpus: int | None = None
    gpu_types: tuple[str, ...] | None = None
    launcher: Launcher = PYTHON


class ProgramReading(Struct, frozen=True, kw_only=True):
    """What was read: `paths` are those of the source by which the submitted files stand in it, in order.

    `missing` is what may be missing in the source, `asks` what it asks for. `arguments` and `environment` are what the
    program itself is called with and sees, and `folder` is where it starts, where something else starts it.
    """

    paths: Mapping[str, str]
    entrypoint: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str | None] = {}
    folder: str = "."
    missing: tuple[str, ...]
    asks: GpuRequest

    def source(self, submitted: GivenProgram) -> JobSource:
        """The record of what is predicted; raises as `JobSource`."""
        files = {path: submitted.files[name].encode() for path, name in self.paths.items()}
        source = JobSource(files=files, entrypoint=self.entrypoint, arguments=self.arguments)
        return source.within(self.environment, self.folder) if self.environment or self.folder != "." else source


class Outcome(Struct, frozen=True, kw_only=True):
    """What a reading process answers: what was read, or why the source or else the request is refused."""

    read: ProgramReading | None = None
    source_error: str | None = None
    input_error: str | None = None

    def result(self) -> ProgramReading:
        """What was read; raises what the reading raised."""
        if self.source_error is not None:
            raise SourceError(self.source_error)
        if self.read is None:
            raise InputError(self.input_error or "nothing was read")
        return self.read


def read(submitted: GivenProgram) -> ProgramReading:
    """Read it; raises SourceError for what is no text worth predicting, and InputError as `read_request`."""
    submitted, notes, folder = _started(submitted)
    source, missing = job_source(submitted.files, submitted.entrypoint, submitted.arguments)
    asks = read_request(texts(source), source.arguments, gpus=submitted.gpus, gpu_types=submitted.gpu_types)
    alone = len(submitted.files) == 1
    return ProgramReading(
        paths={path: submitted.entrypoint if alone else path for path in source.files},
        entrypoint=source.entrypoint,
        arguments=source.arguments,
        environment=submitted.environment,
        folder=folder,
        missing=_first((*notes, *missing)),
        asks=replace(asks, evidence=_first(asks.evidence)),
    )


def _started(submitted: GivenProgram) -> tuple[GivenProgram, tuple[str, ...], str]:
    """The program that the launcher starts, as the first of its processes, what was left aside of a script, and where.

    Raises SourceError where a script starts no program that is there.
    """
    if submitted.launcher == PYTHON:
        return submitted, (), "."
    if submitted.launcher != BASH:
        processes = submitted.gpus or 1
        return replaced(submitted, environment={**ranks(processes, 1), **submitted.environment}), (), "."
    script = submitted.entrypoint
    start = follow_script(script, submitted.files[script], submitted.arguments, submitted.files.get)
    if (entrypoint := entrypoint_in(start, submitted.files)) is None:
        raise SourceError(f"{script}: it starts {start.program}, which is not among its files; submit their folder")
    gpus = submitted.gpus or start.gpus or (start.processes if start.processes > 1 else None)
    environment = {**start.environment, **submitted.environment}
    found = replaced(submitted, entrypoint=entrypoint, arguments=start.arguments, environment=environment, gpus=gpus)
    inside = any(path.startswith(f"{start.folder}/") for path in submitted.files)
    notes = (*start.notes, *(f"it runs {other} too" for other in start.beside))
    return found, notes, start.folder if inside else "."


def job_source(
    files: Mapping[str, str], entrypoint: str, arguments: tuple[str, ...]
) -> tuple[JobSource, tuple[str, ...]]:
    """The files that the entrypoint reaches, with its arguments; and what may be missing in it. Raises SourceError."""
    data = {path: text.encode() for path, text in files.items()}
    if len(data) == 1:
        return read_bytes(entrypoint, data[entrypoint], arguments).source, ()
    reached = reach(Tree.of(data, "archive"), entrypoint, arguments)
    return JobSource.of(reached, entrypoint, arguments), (*reached.problems, *reached.notes)


def _first(remarks: Sequence[str]) -> tuple[str, ...]:
    left_out = len(remarks) - MAX_REMARKS
    return tuple(remarks) if left_out <= 0 else (*remarks[:MAX_REMARKS], f"and {left_out:,} more")


def main() -> None:
    """Read what stands on standard input, and answer on standard output."""
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    submitted = msgspec.json.decode(sys.stdin.buffer.read(), type=GivenProgram)
    try:
        outcome = Outcome(read=read(submitted))
    except SourceError as error:
        outcome = Outcome(source_error=str(error))
    except InputError as error:
        outcome = Outcome(input_error=str(error))
    sys.stdout.buffer.write(msgspec.json.encode(outcome))


if __name__ == "__main__":
    main()

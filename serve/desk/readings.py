"""What each program was read as, remembered; a large one, or a shell script, is read in a process of its own.

Reading a text of 400 KB takes seconds of a Python that does nothing else meanwhile, so it happens where nobody else
waits for an answer. Users take turns, those with large programs apart from the others.
"""

import asyncio
import hashlib
import os
import sys

import msgspec

from kilowait.core.errors import SourceError
from kilowait.core.submission import BASH, Program
from kilowait.program.environment import shown
from kilowait.program.job_source import JobSource
from kilowait.program.resources import GpuRequest
from kilowait.program.submitted import GivenProgram, Outcome, ProgramReading, read

from .programs import check_program
from .turns import Turns

LARGE_BYTES = 40_000
"""Of all files of a program together: more is read apart, which costs about 0.2 s more and holds nobody up."""

BUDGET_S = 60.0
"""By the clock, for a large program."""

KEPT, KEPT_BYTES = 20_000, 5_000
"""Readings that are remembered, each of at most so many bytes: 100 MB at the worst."""

READER = "kilowait.program.submitted"
FieldsRead = tuple[JobSource, GpuRequest, tuple[str, ...]]
"""What is predicted, what it asks for, and what may be missing in it."""


class Readings:
    """Reads programs, in turns: `room` of one user may wait."""

    def __init__(self, room: int) -> None:
        self._small, self._large = (Turns(at_once=2, each=1, room=room) for _ in range(2))
        self._kept: dict[bytes, ProgramReading] = {}

    async def of(
        self, program: Program, owner: str, gpus: int | None = None, gpu_types: tuple[str, ...] | None = None
    ) -> FieldsRead:
        """Read a program of `owner` who gave `gpus` and `gpu_types`.

        Raises as `check_program`, Refusal where too many of this owner wait, SourceError and InputError as
        `kilowait.program.submitted.read`.
        """
        check_program(program)
        submitted = _given(program, gpus, gpu_types)
        encoded = msgspec.json.encode(submitted)
        key = hashlib.sha256(encoded).digest()
        if (reading := self._kept.get(key)) is None:
            large = len(encoded) > LARGE_BYTES or program.launcher == BASH
            async with (self._large if large else self._small).of(owner):
                reading = await (_apart(program.entrypoint, encoded) if large else asyncio.to_thread(read, submitted))
            self._keep(key, reading)
        return reading.source(submitted), reading.asks, reading.missing

    def _keep(self, key: bytes, reading: ProgramReading) -> None:
        if len(self._kept) >= KEPT:
            self._kept.clear()
        if len(msgspec.json.encode(reading)) <= KEPT_BYTES:
            self._kept[key] = reading


def _given(program: Program, gpus: int | None, gpu_types: tuple[str, ...] | None) -> GivenProgram:
    return GivenProgram(
        files=program.files,
        entrypoint=program.entrypoint,
        arguments=program.arguments,
        environment=shown(program.environment) | dict.fromkeys(program.secrets),
        gpus=gpus,
        gpu_types=gpu_types,
        launcher=program.launcher,
    )


async def _apart(name: str, encoded: bytes) -> ProgramReading:
    """Read a `GivenProgram` in a process of its own, which is killed when its time is up."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", READER),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        answer, _ = await asyncio.wait_for(process.communicate(encoded), BUDGET_S)
    except TimeoutError:
        answer = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not answer:
        raise SourceError(f"{name}: it cannot be read in {BUDGET_S:g} s; submit less text, or simpler")
    return msgspec.json.decode(answer, type=Outcome).result()

"""The messages between the worker of dry runs and who asks it: JSON with the sizes of what follows, then bytes.

A message is its head's length (4 bytes, big-endian), the head, and the parts whose lengths the head names, so that
files need no encoding. Both sides may run different versions of Python.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import IO, Any

from kilowait.predict.dryrun.child.import_time import IMPORTS_S
from kilowait.predict.dryrun.dry_program import DryProgram

MOST_HEAD_BYTES = 16_000_000
MOST_PART_BYTES = 64_000_000
"""More than this is no message of ours."""


@dataclass(frozen=True)
class DryRunRequest:
    """One dry run to make."""

    program: DryProgram
    target: str
    budget_s: float
    imports_s: float = IMPORTS_S
    """Seconds of imports that the budget does not pay, at most."""
    wall: float = 3.0
    """So many times its CPU seconds it has by the clock; the worker knows how busy the machine is."""
    ahead: tuple[str, ...] | None = None
    """Not a run: have these modules imported for one of a program like this, whose files have names alone."""


@dataclass(frozen=True)
class ChildAnswer:
    """What a child wrote, and how it ended where it wrote nothing."""

    data: bytes = b""
    failure: str = ""
    loaded: tuple[str, ...] = ()
    """Modules of installed packages that the program imported; it could have forged them."""


def send_request(stream: IO[bytes], request: DryRunRequest) -> None:
    """Write a request."""
    fields = {**asdict(request), "program": {**asdict(request.program), "files": list(request.program.files)}}
    _send(stream, fields, list(request.program.files.values()))


def receive_request(stream: IO[bytes]) -> DryRunRequest:
    """Read a request; raises EOFError when the other side has gone."""
    fields, parts = _receive(stream)
    program = fields["program"]
    program["files"] = dict(zip(program["files"], parts))
    for name in ("arguments", "data", "hidden"):
        program[name] = tuple(program[name])
    ahead = None if fields["ahead"] is None else tuple(fields["ahead"])
    return DryRunRequest(**{**fields, "ahead": ahead, "program": DryProgram(**program)})


def send_answer(stream: IO[bytes], answer: ChildAnswer) -> None:
    """Write an answer."""
    _send(stream, {"failure": answer.failure, "loaded": answer.loaded}, [answer.data])


def receive_answer(stream: IO[bytes]) -> ChildAnswer:
    """Read an answer; raises EOFError when the other side has gone, and ValueError for what is none."""
    fields, parts = _receive(stream)
    if set(fields) != {"failure", "loaded"} or not isinstance(fields["failure"], str) or len(parts) != 1:
        raise ValueError("the worker of dry runs sent something that is no answer")
    return ChildAnswer(data=parts[0], failure=fields["failure"], loaded=tuple(map(str, fields["loaded"])))


def _send(stream: IO[bytes], fields: dict[str, Any], parts: Sequence[bytes]) -> None:
    head = json.dumps({"fields": fields, "sizes": [len(part) for part in parts]}).encode()
    stream.write(struct.pack(">I", len(head)) + head)
    for part in parts:
        stream.write(part)
    stream.flush()


def _receive(stream: IO[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    (length,) = struct.unpack(">I", _exactly(stream, 4, 4))
    head = json.loads(_exactly(stream, length, MOST_HEAD_BYTES))
    fields, sizes = head["fields"], head["sizes"]
    return fields, [_exactly(stream, size, MOST_PART_BYTES) for size in sizes]


def _exactly(stream: IO[bytes], size: int, most: int) -> bytes:
    if size > most:
        raise ValueError(f"a message of {size:,} bytes; at most {most:,} are read")
    data = stream.read(size)
    if len(data) < size:
        raise EOFError("the other side of the pipe has gone")
    return data

"""From what was submitted to a program that can be run and a source that can be predicted."""

import asyncio
import base64
import binascii
import hashlib
import io
import zipfile
import zlib
from collections.abc import Mapping

import msgspec

from kilowait.core.submission import Program
from kilowait.core.submission_limits import MAX_ARCHIVE_FILES, MAX_UNPACKED_BYTES
from kilowait.program.job_source import JobSource
from kilowait.program.reach import reach
from kilowait.program.read import read_bytes
from kilowait.program.source import check_lines
from kilowait.program.tree import Tree

from ..wire import schemas
from ..wire.problems import Refusal

Reading = tuple[JobSource, tuple[str, ...]]
"""What is predicted, and what may be missing in it."""

KEPT, KEPT_BYTES = 1000, 100_000
"""Readings that are remembered, each of a program of at most so many bytes: 100 MB at the worst."""


def program_of(asked: schemas.SubmissionBody) -> Program:
    """The files, the entrypoint and what it is called with; raises Refusal for an archive that cannot be used."""
    files = _unpack(asked.archive) if asked.archive is not None else {asked.entrypoint: asked.source or ""}
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


def _unpack(archive: str) -> Mapping[str, str]:
    """The text files of a zip; nothing is written to a disk."""
    try:
        with zipfile.ZipFile(io.BytesIO(base64.b64decode(archive, validate=True))) as packed:
            members = [member for member in packed.infolist() if not member.is_dir()]
            _check_size(members)
            return {member.filename: _text(packed, member) for member in members}
    except (binascii.Error, zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error) as error:
        raise _refusal(
            f"archive: not a zip in base64 that can be read ({error})", "make it with: zip -r job.zip ."
        ) from None


def _check_size(members: list[zipfile.ZipInfo]) -> None:
    total = sum(member.file_size for member in members)
    if len(members) > MAX_ARCHIVE_FILES or total > MAX_UNPACKED_BYTES:
        text = f"archive: {len(members):,} files of {total:,} bytes in all"
        raise Refusal(
            413, "too large", f"{text}; the limits are {MAX_ARCHIVE_FILES} and {MAX_UNPACKED_BYTES:,}", field="archive",
            remedy="leave data out: read it from a shared disk",
        )  # fmt: skip


def _text(packed: zipfile.ZipFile, member: zipfile.ZipInfo) -> str:
    """One file; a member that unpacks to more than it says is cut short, and refused."""
    with packed.open(member) as file:
        data = file.read(member.file_size + 1)
    if len(data) > member.file_size:
        raise _refusal(f"archive: {member.filename} is larger than the archive says", "make the archive anew")
    try:
        return data.decode()
    except UnicodeDecodeError:
        remedy = "leave it out: only UTF-8 text is sent with a job"
        raise _refusal(f"archive: {member.filename} is not UTF-8 text", remedy) from None


def _refusal(text: str, remedy: str) -> Refusal:
    return Refusal(422, "invalid input", text, field="archive", remedy=remedy)

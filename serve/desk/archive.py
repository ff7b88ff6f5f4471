"""A zip that came with a submission: its text files by path, or a refusal that names what is wrong with it.

Nothing in it is trusted and nothing is written to a disk. A member is unpacked no further than it says that it is, and
only by methods that can be stopped there: zlib's. What bzip2 and lzma unpack to has no bound that zipfile keeps.
"""

import base64
import binascii
import io
import zipfile
from collections.abc import Mapping

from kilowait.core.control_characters import escaped
from kilowait.core.errors import SourceError
from kilowait.core.submission_limits import MAX_ARCHIVE_FILES, MAX_UNPACKED_BYTES
from kilowait.program.zip_members import DAMAGED, members_of

from ..wire.problems import Refusal

METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
REMEDY = "make it anew with: zip -r job.zip ."


def unpacked(archive: str) -> Mapping[str, str]:
    """The text files of a zip in base64; raises SourceError, naming the member, and Refusal where it is too large."""
    try:
        data = base64.b64decode(archive, validate=True)
    except (binascii.Error, ValueError) as error:
        raise SourceError(f"archive: not base64 ({error}); send a zip in base64") from None
    try:
        packed = zipfile.ZipFile(io.BytesIO(data))
    except DAMAGED as error:
        raise SourceError(f"archive: not a readable zip ({_said(error)}); {REMEDY}") from None
    with packed:
        _check_size(packed.infolist())
        members = members_of("archive", packed.infolist())
        return {path: _text(packed, path, member) for path, member in members.items()}


def _check_size(members: list[zipfile.ZipInfo]) -> None:
    total = sum(member.file_size for member in members)
    files = sum(not member.is_dir() for member in members)
    if files > MAX_ARCHIVE_FILES or total > MAX_UNPACKED_BYTES:
        raise Refusal(
            413, "too large", f"archive: {files:,} files of {total:,} bytes in all; the limits are {MAX_ARCHIVE_FILES} "
            f"and {MAX_UNPACKED_BYTES:,}", field="archive", remedy="leave data out: read it from a shared disk",
        )  # fmt: skip


def _text(packed: zipfile.ZipFile, path: str, member: zipfile.ZipInfo) -> str:
    """One file; a member that unpacks to more than it says is cut short, and refused by its checksum."""
    if member.compress_type not in METHODS:
        raise SourceError(f"archive: {path} is packed by method {member.compress_type}; {REMEDY}")
    try:
        with packed.open(member) as file:
            data = file.read(member.file_size + 1)
    except DAMAGED as error:
        raise SourceError(f"archive: {path} cannot be unpacked ({_said(error)}); {REMEDY}") from None
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise SourceError(f"archive: {path} is not UTF-8 text; leave it out: only text is sent with a job") from None


def _said(error: Exception) -> str:
    """What zipfile complains of; it repeats names as they stand in the archive."""
    return escaped(str(error) or type(error).__name__)

"""The members of a zip that nobody vouches for: judged by what its directory says of them, before one is unpacked."""

import lzma
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterable

from kilowait.core.errors import SourceError
from kilowait.program.job_source import check_path

_ENCRYPTED, _UTF8 = 0x1, 0x800  # general purpose bits 0 and 11 of a zip's member

DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError, RuntimeError, EOFError),
    *(ValueError, OSError, IndexError, OverflowError),
)
"""What zipfile raises on an archive that is damaged or of a kind it cannot read."""


def members_of(name: str, infos: Iterable[zipfile.ZipInfo]) -> dict[str, zipfile.ZipInfo]:
    """The files of a zip by their path; raises SourceError, naming zip and member, for what no honest one has.

    Refused: encrypted members, symbolic links and special files, duplicate names, names that are not UTF-8, absolute
    paths, `..`, and names that no disk takes.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    for info in infos:
        path = _checked_name(name, info)
        if path in members:
            raise SourceError(f"{name}: {path} is in it twice; pack it anew")
        members[path] = info
    return {path: info for path, info in members.items() if not info.is_dir()}


def _checked_name(name: str, info: zipfile.ZipInfo) -> str:
    raw = info.orig_filename
    if not info.flag_bits & _UTF8:  # zipfile reads such names as cp437; many tools write UTF-8 without saying so
        try:
            raw = raw.encode("cp437").decode()
        except UnicodeError as error:
            raise SourceError(f"{name}: the name {raw!r} is not UTF-8; pack it anew") from error
    try:
        check_path(raw.removesuffix("/"))
    except SourceError as error:
        raise SourceError(f"{name}: {error}") from error
    if info.flag_bits & _ENCRYPTED:
        raise SourceError(f"{name}: {raw} is encrypted; pack it without a password")
    kind = stat.S_IFMT(info.external_attr >> 16)
    if kind == stat.S_IFLNK:
        raise SourceError(f"{name}: {raw} is a symbolic link; pack the file itself")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise SourceError(f"{name}: {raw} is no regular file; leave it out")
    return raw

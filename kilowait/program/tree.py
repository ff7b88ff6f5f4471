"""The files that a job's source is taken from: a folder or a zip, looked through without reading what is in it.

Nothing in it is trusted. A folder is walked without following links; from a zip, a member is unpacked only when it is
reached, and no further than its limit. Not covered: archives of other kinds.
"""

import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kilowait.core.errors import SourceError
from kilowait.program import limits
from kilowait.program.job_source import check_path, check_paths
from kilowait.program.zip_members import DAMAGED, members_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """`sizes` maps the relative path of each file to its bytes; `unusable` maps others to why they cannot be read.

    `read` gives a file's content, one byte more than asked for when it is larger.
    """

    name: str
    sizes: Mapping[str, int]
    unusable: Mapping[str, str]
    read: Callable[[str, int], bytes]

    @classmethod
    def of(cls, files: Mapping[str, bytes], name: str = "") -> "Tree":
        """A tree of files that have been read already."""
        sizes = {path: len(data) for path, data in files.items()}
        return cls(name=name, sizes=sizes, unusable={}, read=lambda path, _: files[path])


def folder_tree(folder: Path) -> Tree:
    """The files under `folder`; raises SourceError when there are more than `limits.MAX_CANDIDATES`."""
    sizes: dict[str, int] = {}
    unusable: dict[str, str] = {}
    for path, reason, size in _walk(folder):
        if reason:
            unusable[path] = reason
        else:
            sizes[path] = size
        if len(sizes) + len(unusable) > limits.MAX_CANDIDATES:
            raise SourceError(
                f"{folder}: more than {limits.MAX_CANDIDATES:,} files; give the folder of the code without its data"
            )

    def read(path: str, max_bytes: int) -> bytes:
        try:
            with open(os.open(folder / path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
                return file.read(max_bytes + 1)
        except OSError as error:
            raise SourceError(f"{folder / path}: cannot be read: {error.strerror}") from error

    return Tree(name=str(folder), sizes=sizes, unusable=unusable, read=read)


def _walk(folder: Path) -> Iterator[tuple[str, str, int]]:
    """(relative path, why it cannot be used or "", bytes) of files, links, and folders that are passed over."""

    def refuse(error: OSError) -> None:
        raise SourceError(f"{error.filename}: cannot be read: {error.strerror}") from error

    for current, folders, files in os.walk(folder, onerror=refuse):
        base = Path(current).relative_to(folder)
        entries = [(name, _pass_over(Path(current, name))) for name in sorted(folders)]
        folders[:] = [name for name, reason in entries if not reason]
        yield from ((_shown(base / name) + "/", reason, 0) for name, reason in entries if reason)
        for name in sorted(files):
            path, status = (base / name).as_posix(), os.lstat(Path(current, name))
            yield _shown(base / name), _unusable(path, status.st_mode), status.st_size


def _pass_over(folder: Path) -> str:
    if folder.is_symlink():
        return "a symbolic link; links are not followed"
    if folder.name.startswith(".") or folder.name == "__pycache__" or (folder / "pyvenv.cfg").exists():
        return "a hidden folder, cache or environment"
    return ""


def _unusable(path: str, mode: int) -> str:
    if stat.S_ISLNK(mode):
        return "a symbolic link; links are not followed, give the file itself"
    if not stat.S_ISREG(mode):
        return "no regular file"
    try:
        check_path(path)
    except SourceError as error:
        return str(error).partition(": ")[2]
    return ""


def _shown(path: Path) -> str:
    """The path as text, also where its name is not UTF-8."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def zip_tree(path: Path) -> Tree:
    """The files in a zip; raises SourceError, naming the member, for what no honest archive of code has.

    Refused: encrypted members, symbolic links and special files, duplicate names, names that are not UTF-8, absolute
    paths, `..`, and what is above a limit.
    """
    try:
        size = path.stat().st_size
        if size > limits.MAX_ARCHIVE_BYTES:
            limit = f"{limits.MAX_ARCHIVE_BYTES:,}"
            raise SourceError(f"{path}: a zip of {size:,} bytes; the limit is {limit}: leave data out")
        archive = zipfile.ZipFile(path)
        members = _members(path, archive)
    except DAMAGED as error:
        raise SourceError(f"{path}: not a readable zip: {error}") from error

    def read(member: str, max_bytes: int) -> bytes:
        try:
            with archive.open(members[member]) as file:
                return file.read(max_bytes + 1)
        except DAMAGED as error:
            raise SourceError(f"{path}: {member} cannot be unpacked: {error}") from error

    return Tree(name=str(path), sizes={n: m.file_size for n, m in members.items()}, unusable={}, read=read)


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    infos = archive.infolist()
    if len(infos) > limits.MAX_CANDIDATES:
        raise SourceError(f"{path}: {len(infos):,} files in it; the limit is {limits.MAX_CANDIDATES:,}")
    unpacked_bytes = sum(info.file_size for info in infos)
    if unpacked_bytes > limits.MAX_UNPACKED_BYTES:
        raise SourceError(f"{path}: unpacks to {unpacked_bytes:,} bytes; the limit is {limits.MAX_UNPACKED_BYTES:,}")
    files = members_of(str(path), infos)
    check_paths(files)
    return files

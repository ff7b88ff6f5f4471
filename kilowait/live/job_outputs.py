"""Files that a job keeps: copied out of its folder when it ends, into a folder or a bucket, and read again from there.

Under `URL/JOB/ATTEMPT/RANK` lie `files/` and, written last, `manifest.json`: without it nothing there is whole. What a
job leaves in its folder is hostile: only regular files are read, no link is followed, and sizes are counted while they
are copied.
"""

import contextlib
import fnmatch
import os
import stat
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from kilowait.core.errors import InputError, KilowaitError

MAX_NAME = 500
MAX_SEEN, MAX_DEPTH = 200_000, 50
"""Files of a job's folder that are looked at, and folders in each other."""
MAX_KEPT, MAX_NAMED = 10_000, 20
"""Files that are kept of an attempt on a node, and those that are named of what is not."""
PIECE = 1 << 20
PASSED_OVER = {"__pycache__", ".cache", ".config", ".triton", ".nv", ".local"}
"""Folders that programs fill by themselves: nobody misses them."""


class KeptFile(Struct, frozen=True, kw_only=True):
    """A file that was kept, by its path in the job's folder."""

    path: str
    bytes: int


class Kept(Struct, frozen=True, kw_only=True):
    """What was kept of an attempt on a node, and `left` files that it wrote and that are gone, the first of them by
    name. `problem` says why not all that was asked for is there; "" where it is."""

    job_id: str
    attempt: int
    rank: int
    kept_s: float
    files: tuple[KeptFile, ...] = ()
    left: int = 0
    left_names: tuple[str, ...] = ()
    problem: str = ""

    @property
    def said(self) -> str:
        """A line for the job's log, "" where there is nothing to say."""
        lines = []
        if self.files:
            size = sum(file.bytes for file in self.files)
            lines.append(f"{len(self.files):,} files ({size:,} bytes) are kept: kilowait fetch {self.job_id}")
        if self.problem:
            lines.append(f"not all was kept: {self.problem}")
        elif self.left:
            more = f" and {self.left - len(self.left_names):,} more" if self.left > len(self.left_names) else ""
            lines.append(f"not kept: {', '.join(self.left_names)}{more}; submit with --output PATH to keep such files")
        return "".join(f"[kilowait: {line}]\n" for line in lines)


class OutputSettings(Struct, frozen=True, kw_only=True):
    """Where outputs are kept: a folder that every node sees, or a URL such as s3://bucket/path. Of a job on a node at
    most `max_bytes` are kept, for `days`; 0 is for ever."""

    url: str = ""
    max_bytes: int = 10_000_000_000
    days: float = 30.0

    @property
    def folders(self) -> tuple[str, ...]:
        """The folder of this machine, where it is one."""
        return () if "://" in self.url or not self.url else (str(Path(self.url).absolute()),)


class OutputStore:
    """What is kept at `settings.url`; "" is nowhere. Raises InputError for a URL that is none."""

    def __init__(self, settings: OutputSettings) -> None:
        self.settings = settings
        self._fs, self._root = _opened(settings.url)

    def keep(
        self, folder: Path, patterns: Sequence[str], given: Collection[str], *, job_id: str, attempt: int, rank: int
    ) -> Kept:
        """Copy what `patterns` mean out of a folder; `given` are the paths that were there before the job began."""
        if self._root and isinstance(self._fs, _arrow().LocalFileSystem):
            os.makedirs(self._root, mode=0o700, exist_ok=True)
        room, files, left, problem = self.settings.max_bytes, list[KeptFile](), list[str](), ""
        target = f"{self._root}/{job_id}/{attempt}/{rank}"
        for path, size, descriptor in _regular_files(folder):
            if path in given and not _meant(path, patterns):
                continue
            if not _meant(path, patterns) or problem:
                left.append(path)
            elif not self._root:
                problem = "this service keeps no outputs; its operator gives --outputs"
            elif len(files) == MAX_KEPT or size > room:
                limit = f"{MAX_KEPT:,} files" if len(files) == MAX_KEPT else f"{self.settings.max_bytes:,} bytes"
                problem = f"{path} goes beyond {limit} of a job on a node"
            else:
                try:
                    copied = self._copy(descriptor, f"{target}/files/{path}", room)
                except OSError as error:
                    problem = f"{path}: {error.strerror or error}"
                    continue
                files.append(KeptFile(path=path, bytes=copied))
                room -= copied
        names = tuple(name[:MAX_NAME] for name in left[:MAX_NAMED])
        kept = Kept(
            job_id=job_id,
            attempt=attempt,
            rank=rank,
            kept_s=time.time(),
            files=tuple(files),
            left=len(left),
            left_names=names,
            problem=problem,
        )
        if self._root and (files or problem):
            self._write(f"{target}/manifest.json", msgspec.json.encode(kept))
        return kept

    def kept(self, job_id: str) -> list[Kept]:
        """What is kept of a job, of its last attempt that kept something, by node."""
        found = self._of_all_attempts(job_id)
        last = max((kept.attempt for kept in found), default=0)
        return [kept for kept in found if kept.attempt == last]

    def _of_all_attempts(self, job_id: str) -> list[Kept]:
        """By attempt and node; one whose manifest was not written to its end is not whole, and left out."""
        if not self._root:
            return []
        chosen = _arrow().FileSelector(f"{self._root}/{job_id}", recursive=True, allow_not_found=True)
        names = [info.path for info in self._fs.get_file_info(chosen) if info.base_name == "manifest.json"]
        ours = [name for name in names if name.removeprefix(f"{self._root}/{job_id}/").count("/") == 2]
        found = list[Kept]()
        for name in ours:
            with contextlib.suppress(msgspec.DecodeError):
                found.append(msgspec.json.decode(self._read_all(name), type=Kept))
        return sorted(found, key=lambda kept: (kept.attempt, kept.rank))

    def read(self, kept: Kept, path: str) -> Iterator[bytes]:
        """A kept file in pieces; raises InputError for one that is not."""
        if path not in {file.path for file in kept.files}:
            raise InputError(f"job {kept.job_id}: no kept file {path!r}; list them with: kilowait fetch --list")
        with self._fs.open_input_stream(
            f"{self._root}/{kept.job_id}/{kept.attempt}/{kept.rank}/files/{path}"
        ) as stream:
            while piece := stream.read(PIECE):
                yield piece

    def restore(self, folder: Path, job_id: str, rank: int) -> int:
        """Put back into a job's new folder what is kept of it, of all nodes, those of `rank` last; how many files that
        were. It is of the last attempt of which all is there, if there is one, and what this node kept of those before
        is removed. Raises OSError."""
        files, found = 0, self._of_all_attempts(job_id)
        partly = {kept.attempt for kept in found if kept.problem}
        whole = max((kept.attempt for kept in found if kept.attempt not in partly), default=0)
        chosen = whole or max(partly, default=0)
        for kept in sorted(found, key=lambda kept: kept.rank == rank):
            if kept.attempt != chosen:
                continue
            for file in kept.files:
                target = folder / file.path
                if not target.resolve().is_relative_to(folder.resolve()):
                    raise OSError(f"{file.path}: it is not in the job's folder")
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as stream:
                    stream.writelines(self.read(kept, file.path))
                files += 1
        for kept in found:
            if kept.rank == rank and kept.attempt < chosen:
                with contextlib.suppress(OSError):  # it goes with the rest, in time
                    self._fs.delete_dir(f"{self._root}/{job_id}/{kept.attempt}/{rank}")
        return files

    def forget(self, now_s: float) -> int:
        """Remove what is older than `settings.days`; how many jobs' outputs that were."""
        if not self._root or not self.settings.days:
            return 0
        jobs = self._fs.get_file_info(_arrow().FileSelector(self._root, allow_not_found=True))
        old = 0
        for job in jobs:
            begun_s = now_s if job.mtime is None else job.mtime.timestamp()  # of one that kept nothing to its end
            newest = max((kept.kept_s for kept in self.kept(job.base_name)), default=begun_s)
            if now_s - newest > self.settings.days * 86400:
                self._fs.delete_dir(job.path)
                old += 1
        return old

    def _copy(self, descriptor: int, target: str, room: int) -> int:
        """Copy an open file; raises OSError where it grows beyond `room` bytes. What was begun is removed again."""
        self._fs.create_dir(target.rpartition("/")[0], recursive=True)
        copied = 0
        try:
            with os.fdopen(os.dup(descriptor), "rb") as source, self._fs.open_output_stream(target) as stream:
                while piece := source.read(PIECE):
                    copied += len(piece)
                    if copied > room:
                        raise OSError(f"it grew beyond {self.settings.max_bytes:,} bytes of a job on a node")
                    stream.write(piece)
        except OSError:
            if self._fs.get_file_info(target).type != _arrow().FileType.NotFound:
                self._fs.delete_file(target)
            raise
        return copied

    def _write(self, target: str, data: bytes) -> None:
        self._fs.create_dir(target.rpartition("/")[0], recursive=True)
        with self._fs.open_output_stream(target) as stream:
            stream.write(data)

    def _read_all(self, name: str) -> bytes:
        with self._fs.open_input_stream(name) as stream:
            data: bytes = stream.read()
        return data


def _meant(path: str, patterns: Sequence[str]) -> bool:
    """A pattern is a file, a folder with all that is in it, or has * and ?; without a slash it means any folder."""
    name = path.rpartition("/")[2]
    for pattern in patterns:
        plain = pattern.removeprefix("./").rstrip("/")
        if plain == "." or path == plain or path.startswith(f"{plain}/") or fnmatch.fnmatchcase(path, plain):
            return True
        if "/" not in plain and fnmatch.fnmatchcase(name, plain):
            return True
    return False


def _regular_files(folder: Path) -> Iterator[tuple[str, int, int]]:
    """(path below the folder, bytes, descriptor that is open while it is looked at) of every regular file."""
    seen = 0
    for root, folders, names, descriptor in os.fwalk(folder, follow_symlinks=False):
        depth = len(Path(root).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if name not in PASSED_OVER and depth < MAX_DEPTH)
        for name in sorted(names):
            seen += 1
            if seen > MAX_SEEN:
                return
            path = os.path.relpath(os.path.join(root, name), folder)
            opened = _opened_regular(name, descriptor)
            if opened is None:
                continue
            try:
                yield path, os.fstat(opened).st_size, opened
            finally:
                os.close(opened)


def _opened_regular(name: str, folder: int) -> int | None:
    """A descriptor of a regular file that has a name in UTF-8 and can be read, None for anything else."""
    try:
        name.encode()
        opened = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except (OSError, UnicodeEncodeError):
        return None
    if stat.S_ISREG(os.fstat(opened).st_mode):
        return opened
    os.close(opened)
    return None


def _arrow() -> Any:
    """pyarrow's file systems, loaded where files are kept or read: that takes long beside the start of a job."""
    from pyarrow import fs

    return fs


def _opened(url: str) -> tuple[Any, str]:
    if not url:
        return None, ""
    try:
        system, root = _arrow().FileSystem.from_uri(url if "://" in url else Path(url).absolute().as_uri())
    except (ValueError, OSError, KilowaitError) as error:
        raise InputError(f"outputs {url!r}: neither a folder nor a URL such as s3://bucket/path ({error})") from error
    return system, root.rstrip("/")

"""Files and folders of data that are not there, as Python's own functions see them.

The true call comes first; only where it fails for want of the file, and the name is one of data, something stands in.
"""

from __future__ import annotations

import builtins
import glob
import io
import os
import pathlib
import sys
import urllib.request
from functools import wraps
from typing import Any

from kilowait.predict.dryrun.standins.data import contents
from kilowait.predict.dryrun.standins.data.absent import IMAGES, TEXT, Absent
from kilowait.predict.dryrun.standins.data.folders import Folders
from kilowait.predict.dryrun.standins.weights import model_folders

CHECKPOINTS = (".pt", ".pth", ".ckpt")
_GONE = (FileNotFoundError, NotADirectoryError)


def stand_in_files(absent: Absent, folders: Folders) -> None:
    """Replace what opens, asks for and lists files."""
    _opening(absent, folders)
    _asking(absent, folders)
    _listing(absent, folders)
    _downloading(absent)


def _opening(absent: Absent, folders: Folders) -> None:
    real = builtins.open

    @wraps(real)
    def opened(file: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        if any(sign in mode for sign in "wax+"):
            absent.make_folder_of(file)
            handle = real(file, mode, *args, **kwargs)
            if isinstance(file, (str, os.PathLike)):
                absent.written.add(str(os.fspath(file)))
            return handle
        try:
            return real(file, mode, *args, **kwargs)
        except _GONE:
            configuration = model_folders.text_of_model(absent, file)
            if configuration is not None:
                return contents.TextFile(configuration, file) if "b" not in mode else io.BytesIO(configuration.encode())
            if not (absent.is_data(file) or folders.is_file(file)) or _may_lack(absent, file, sys._getframe(1)):
                raise
        return (
            contents.binary_of(absent, file) if "b" in mode else contents.TextFile(contents.text_of(absent, file), file)
        )

    builtins.open = io.open = opened


def _may_lack(absent: Absent, file: Any, caller: Any) -> bool:
    """Whether fsspec opens a checkpoint of which nothing is known: programs look so for one to go on from."""
    suffix = os.path.splitext(str(file))[1].lower()
    return suffix in CHECKPOINTS and "fsspec" in caller.f_code.co_filename and not absent.is_known(file)


def _asking(absent: Absent, folders: Folders) -> None:
    def is_there(path: Any) -> bool:
        return absent.is_known(path) or folders.is_file(path) or model_folders.is_model_file(path)

    def either(real: Any, also: Any) -> Any:
        return wraps(real)(lambda path, *args, **kwargs: real(path, *args, **kwargs) or also(path))

    def folder(path: Any) -> bool:
        return isinstance(path, (str, os.PathLike)) and (folders.is_folder(path) or model_folders.is_model_folder(path))

    for owner in (os.path, pathlib.Path):
        names = ("exists", "isfile", "isdir") if owner is os.path else ("exists", "is_file", "is_dir")
        for name, also in zip(names, (lambda path: is_there(path) or folder(path), is_there, folder)):
            setattr(owner, name, either(getattr(owner, name), also))
    _measuring(absent, is_there)


def _measuring(absent: Absent, is_there: Any) -> None:
    real_size, real_stat = os.path.getsize, os.stat

    def size(path: Any) -> int:
        try:
            return real_size(path)
        except _GONE:
            if not absent.is_data(path):
                raise
            return contents.size_in_bytes(absent, path)

    def stat(path: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return real_stat(path, *args, **kwargs)
        except _GONE:
            if not is_there(path):
                raise
            return os.stat_result((0o100644, 0, 0, 1, 0, 0, contents.size_in_bytes(absent, path), 0, 0, 0))

    os.path.getsize = size
    os.stat = stat


def _listing(absent: Absent, folders: Folders) -> None:
    real_list, real_walk, real_scan = os.listdir, os.walk, os.scandir

    def stands_in(path: Any, found: Any) -> bool:
        """Whether a folder that is missing, or holds nothing but hidden files, is listed as one of images."""
        if not isinstance(path, (str, os.PathLike)) or not folders.may_list(path):
            return False
        if found is None:
            return True
        return all(name.startswith(".") for name in found) and str(path) not in absent.written

    def names(path: Any) -> list[str] | None:
        try:
            return real_list(path)
        except _GONE:
            return None

    def listdir(path: Any = ".") -> list[str]:
        found = names(path)
        return folders.listing(path) if stands_in(path, found) else (real_list(path) if found is None else found)

    def walk(top: Any, *args: Any, **kwargs: Any) -> Any:
        return folders.walk(top) if stands_in(top, names(top)) else real_walk(top, *args, **kwargs)

    def scandir(path: Any = ".") -> Any:
        if not isinstance(path, int) and stands_in(path, names(path)):
            return Entries([Entry(str(path), name, folders) for name in folders.listing(path)])
        return real_scan(path)

    os.listdir, os.walk, os.scandir = listdir, walk, scandir
    _globbing(folders, stands_in, names)


def _globbing(folders: Folders, stands_in: Any, names: Any) -> None:
    real_glob, real_path_glob = glob.iglob, pathlib.Path.glob

    def found(folder: str, pattern: str) -> list[str]:
        last = pattern.rpartition("/")[2]
        if pattern.startswith("**/") or "/" not in pattern:
            return [f"{folder}/{name}" for name in folders.matching(folder, last)]
        below = [f"{folder}/{name}" for name in folders.listing(folder) if not os.path.splitext(name)[1]]
        return [f"{part}/{name}" for part in below for name in folders.matching(part, last)]

    def globbed(pathname: Any, *args: Any, **kwargs: Any) -> list[Any]:
        result = list(real_glob(pathname, *args, **kwargs))
        folder = os.path.dirname(str(pathname))
        while folder and any(sign in folder for sign in "*?["):
            folder = os.path.dirname(folder)
        if result or not folder or not stands_in(folder, names(folder)):
            return result
        return found(folder, str(pathname)[len(folder) + 1 :])

    def path_glob(self: Any, pattern: str, *args: Any, **kwargs: Any) -> Any:
        result = list(real_path_glob(self, pattern, *args, **kwargs))
        if result or not stands_in(self, names(self)):
            return iter(result)
        return (type(self)(name) for name in found(str(self), pattern))

    glob.glob, pathlib.Path.glob = globbed, path_glob
    pathlib.Path.rglob = lambda self, pattern, *_, **__: path_glob(self, f"**/{pattern}")
    pathlib.Path.iterdir = lambda self: (self / name for name in os.listdir(self))
    glob.iglob = lambda pathname, *args, **kwargs: iter(globbed(pathname, *args, **kwargs))


class Entry:
    """What os.scandir gives of a file that is not there."""

    def __init__(self, folder: str, name: str, folders: Folders) -> None:
        self.name, self.path, self._folders = name, os.path.join(folder, name), folders

    def is_dir(self, **_: Any) -> bool:
        """Whether it is a folder."""
        return not os.path.splitext(self.name)[1]

    def is_file(self, **_: Any) -> bool:
        """Whether it is a file."""
        return not self.is_dir()

    def is_symlink(self) -> bool:
        """Never."""
        return False

    def __fspath__(self) -> str:
        return self.path


class Entries(list):
    """What os.scandir gives: an iterator that is closed."""

    def __enter__(self) -> Any:
        return iter(self)

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None:
        """Nothing is open."""


def _downloading(absent: Absent) -> None:
    """A file that would be fetched is not there afterwards, and is stood in for when it is read."""

    real = urllib.request.urlopen

    def urlretrieve(url: Any, filename: Any = None, *_: Any, **__: Any) -> Any:
        return filename or str(url).rpartition("/")[2], None

    def urlopen(url: Any, *args: Any, **kwargs: Any) -> Any:
        address = str(getattr(url, "full_url", url)).partition("?")[0]
        return Response(absent, address) if absent.is_data(address) else real(url, *args, **kwargs)

    urllib.request.urlretrieve, urllib.request.urlopen = urlretrieve, urlopen


class Response:
    """What a download gives: the contents that stand in for a file of that name."""

    status_code = status = code = 200
    ok, reason = True, "OK"

    def __init__(self, absent: Absent, address: str) -> None:
        self.url, self._absent = address, absent
        self.headers = {"content-length": "0", "Content-Length": "0"}

    @property
    def text(self) -> str:
        """As a text."""
        return contents.text_of(self._absent, self.url)

    @property
    def content(self) -> bytes:
        """As bytes."""
        suffix = os.path.splitext(self.url.lower())[1]
        return self.text.encode() if suffix in TEXT else contents.binary_of(self._absent, self.url).getvalue()

    def read(self, *_: Any) -> bytes:
        """As bytes."""
        return self.content

    def json(self) -> Any:
        """As what JSON says."""
        import json

        return json.loads(self.text)

    @property
    def raw(self) -> Any:
        """As a file."""
        return contents.binary_of(self._absent, self.url)

    def iter_content(self, *_: Any, **__: Any) -> Any:
        """All at once."""
        return iter((self.content,))

    def raise_for_status(self) -> None:
        """All is well."""

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...


def stand_in_requests(absent: Absent, module: Any) -> None:
    """`requests.get` of a file of data."""
    real = module.get

    def get(url: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return real(url, *args, **kwargs)
        except Exception:
            address = str(url).partition("?")[0]
            if not (absent.is_data(address) or os.path.splitext(address)[1].lower() in IMAGES):
                raise
            return Response(absent, address)

    module.get = get


def stand_in_fsspec(absent: Absent, module: Any) -> None:
    """`fsspec.open` of a file of data that is elsewhere."""
    kind = module.OpenFile
    real = kind.__enter__

    def enter(self: Any) -> Any:
        try:
            return real(self)
        except Exception:
            if "file" in self.fs.protocol or not absent.is_data(self.path):
                raise
        found = Response(absent, self.path)
        return io.BytesIO(found.content) if "b" in self.mode else contents.TextFile(found.text, self.path)

    kind.__enter__ = enter

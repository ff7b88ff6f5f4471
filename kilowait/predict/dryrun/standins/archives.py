"""Archives that stand in for ones that are not there: nothing is in them, and what would be is found later."""

from __future__ import annotations

import os
import tarfile
import zipfile
from collections.abc import Iterator
from functools import wraps
from typing import Any

from kilowait.predict.dryrun.standins.data.absent import Absent


def stand_in_archives(absent: Absent) -> None:
    """Let what opens an archive take one that was made of nothing."""
    tarfile.open = tarfile.TarFile.open = _opening(tarfile.open, absent)  # type: ignore[assignment]
    zipfile.ZipFile = _opening_zip(zipfile.ZipFile, absent)  # type: ignore[misc]


def _opening(real: Any, absent: Absent) -> Any:
    @wraps(real)
    def opened(name: Any = None, mode: str = "r", fileobj: Any = None, *args: Any, **kwargs: Any) -> Any:
        if mode[:1] == "r" and _is_empty(fileobj if fileobj is not None else name):
            return EmptyArchive(absent, name)
        return real(name, mode, fileobj, *args, **kwargs)

    return opened


def _opening_zip(real: Any, absent: Absent) -> Any:
    class ZipFile(real):
        """zipfile's, or an archive of nothing."""

        def __new__(cls, file: Any, mode: str = "r", *_: Any, **__: Any) -> Any:
            stands_in = mode == "r" and not zipfile.is_zipfile(file) and _is_empty(file)
            return EmptyArchive(absent, file) if stands_in else super().__new__(cls)

    return ZipFile


def _is_empty(file: Any) -> bool:
    """Whether a file holds zeros and nothing else where an archive begins."""
    if isinstance(file, (str, os.PathLike)):
        if not os.path.isfile(file):
            return False
        with open(file, "rb") as stream:
            return _is_empty(stream)
    if not (hasattr(file, "read") and hasattr(file, "seek")):
        return False
    place = file.tell()
    contents = file.read(512)
    file.seek(place)
    return bool(contents) and not any(contents)


class EmptyArchive:
    """An archive in which nothing is; what lies below the folder that it is taken out into is there from then on."""

    def __init__(self, absent: Absent, file: Any) -> None:
        self._absent = absent
        self._beside = os.path.dirname(os.path.abspath(file)) if isinstance(file, (str, os.PathLike)) else "."

    def extractall(self, path: Any = ".", *_: Any, **__: Any) -> None:
        """Nothing is written."""
        self._absent.extracted.add(os.path.abspath(os.fspath(path or ".")))

    def extract(self, member: Any, path: Any = ".", *_: Any, **__: Any) -> None:
        """Nothing is written."""
        self.extractall(path)

    def getmembers(self) -> list[Any]:
        """None; who would take them out one by one does so beside the archive."""
        self.extractall(self._beside)
        return []

    getnames = namelist = infolist = getmembers

    def __iter__(self) -> Iterator[Any]:
        return iter(self.getmembers())

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_: object) -> None: ...

    def close(self) -> None:
        """Nothing is open."""

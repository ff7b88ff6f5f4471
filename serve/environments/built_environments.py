"""Environments built once and kept: by what they hold, in a folder of bounded size, the least recently used goes first.

An environment is a virtual environment of uv's at `FOLDER/KEY`, where KEY is a hash of its requirements, of the version
of Python, of the kind of machine and of the indexes. A lock beside it is held while it is built, and shared by every
job that runs in it: two jobs build once, and what is in use stays. Only wheels are taken: nothing of a package runs
before a job does.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from kilowait.core.errors import InputError

from .uv_program import uv_environment, uv_program

READY, LOCK_SUFFIX, CACHE = "kilowait-ready", ".lock", "cache"
"""A file in an environment that is whole, whose time says when it was last used; and what lies beside them."""
SEEN = 0o755
"""Jobs run as other users."""
BUILD_S = 3600.0
LINES, LINE = 12, 300
"""Of what uv says last of a build that failed."""


class EnvironmentSettings(Struct, frozen=True, kw_only=True):
    """Where environments are kept ("": none are built), at most how much together, and where packages are from.

    `indexes` are URLs, the first before the others, or folders of wheels; without one what uv is told on the node.
    With `always` a job whose files hold requirements gets its environment unasked.
    """

    folder: str = ""
    max_bytes: int = 20_000_000_000
    indexes: tuple[str, ...] = ()
    always: bool = False


class BuiltEnvironments:
    """The environments of this machine."""

    def __init__(self, settings: EnvironmentSettings) -> None:
        self._settings, self._folder = settings, Path(settings.folder)

    def python_for(self, packages: Sequence[str]) -> str:
        """The interpreter that an environment of these packages has, whether it stands or not."""
        said = [list(packages), f"{sys.version_info.major}.{sys.version_info.minor}", sys.implementation.name]
        said += [platform.machine(), list(self._settings.indexes)]
        key = hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]
        return str(self._folder / key / "bin" / "python")

    def holds(self, python: str) -> bool:
        """Whether this interpreter is one of those that are built."""
        return bool(self._settings.folder) and Path(python).parents[2:3] == (self._folder,)

    def ready(self, python: str) -> bool:
        """Whether it stands."""
        return (Path(python).parents[1] / READY).exists()

    @contextlib.contextmanager
    def used(self, python: str, packages: Sequence[str]) -> Iterator[bool]:
        """The environment stands, and stays, for as long as this goes on; whether it was built for that.

        Raises InputError with what uv said last where it cannot be built.
        """
        place = Path(python).parents[1]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(SEEN)
        built = False
        with _Lock(place) as lock:
            lock.take(fcntl.LOCK_SH)
            while not self.ready(python):
                lock.take(fcntl.LOCK_EX)
                if not self.ready(python):  # or another job was faster
                    self._build(place, packages)
                    built = True
                lock.take(fcntl.LOCK_SH)
            os.utime(place / READY)
            if built:
                self.make_room()
            yield built

    def make_room(self) -> None:
        """Remove what was used longest ago and is not in use, until the rest is within its bounds."""
        kept = sorted(self._folder.glob(f"*/{READY}"), key=lambda ready: ready.stat().st_mtime)
        for ready in kept:
            if self._bytes() <= self._settings.max_bytes:
                return
            with _Lock(ready.parent) as lock:
                if lock.take(fcntl.LOCK_EX | fcntl.LOCK_NB):
                    _remove(ready.parent)
                    self._uv("cache", "prune", "--force")
        if self._bytes() > self._settings.max_bytes:
            self._uv("cache", "clean", "--force")

    def _bytes(self) -> int:
        """What all of it takes on the disk; files of the cache that environments share count once."""
        seen: dict[tuple[int, int], int] = {}
        for folder, _, names in os.walk(self._folder):
            for name in names:
                with contextlib.suppress(OSError):
                    found = os.lstat(os.path.join(folder, name))
                    seen[found.st_dev, found.st_ino] = found.st_blocks * 512
        return sum(seen.values())

    def _build(self, place: Path, packages: Sequence[str]) -> None:
        _remove(place)
        asked = self._folder / f"{place.name}.txt"
        asked.write_text("".join(f"{line}\n" for line in packages))
        try:
            self._uv("venv", "--quiet", f"--python={_base_python()}", "--no-python-downloads", str(place), must=True)
            python = f"--python={place / 'bin' / 'python'}"
            self._uv("pip", "install", "--no-build", python, f"--requirements={asked}", must=True)
        except InputError:
            _remove(place)
            raise
        (place / READY).touch()

    def _uv(self, *words: str, must: bool = False) -> None:
        """Run uv; raises InputError with its last lines where it `must` succeed and does not."""
        folders = [one for one in self._settings.indexes if one.startswith("/")]
        urls = [one for one in self._settings.indexes if not one.startswith("/")]
        places = {"UV_DEFAULT_INDEX": urls[0], "UV_INDEX": " ".join(urls[1:])} if urls else {}
        places |= {"UV_FIND_LINKS": " ".join(folders)} if folders else {}
        places |= {"UV_NO_INDEX": "1"} if folders and not urls else {}
        environment = uv_environment(self._folder / CACHE, **places)
        try:
            done = subprocess.run(
                [uv_program(), *words], capture_output=True, text=True, errors="replace", timeout=BUILD_S, check=False,
                env=environment, cwd=self._folder, stdin=subprocess.DEVNULL, umask=0o022,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise InputError(f"its environment was not built in {BUILD_S:g} s; ask for fewer packages") from None
        if must and done.returncode:
            lines = [line.strip()[:LINE] for line in done.stderr.splitlines() if line.strip()][-LINES:]
            raise InputError("its environment cannot be built: " + " / ".join(lines))


class _Lock:
    """The lock beside an environment; it ends with the process that holds it."""

    def __init__(self, place: Path) -> None:
        self._path, self._fd = place.with_name(place.name + LOCK_SUFFIX), -1

    def __enter__(self) -> "_Lock":
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def take(self, kind: int) -> bool:
        """Hold it in this way, in place of the way before; False where that must not wait and would."""
        try:
            fcntl.flock(self._fd, kind)
        except BlockingIOError:
            return False
        return True


def _base_python() -> str:
    """The Python that this one's environment was made from, which job rooms show."""
    return os.path.realpath(sys.executable)


def _remove(place: Path) -> None:
    """First what says that it is whole."""
    (place / READY).unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    place.with_name(f"{place.name}.txt").unlink(missing_ok=True)

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
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from msgspec import Struct

from kilowait.core.errors import InputError

from .uv_program import uv_environment, uv_program

READY, LOCK_SUFFIX, CACHE = "kilowait-ready", ".lock", "cache"
"""A file in an environment that is whole, whose time says when it was last used; and what lies beside them."""
SEEN = 0o755
"""Jobs run as other users."""
BUILD_S = 3600.0
LOOK_S = 0.2
"""How often whoever waits for a build sees whether it is still wanted."""
LINES, LINE = 12, 300
"""Of what uv says last of a build that failed."""


class EnvironmentSettings(Struct, frozen=True, kw_only=True):
    """Where environments are kept ("": none are built), at most how much together, and where packages are from.

    `indexes` are URLs, or folders of wheels; without one what uv is told on the node. What the first URL has of a
    package counts, whatever the others have. With `always` a job whose files hold requirements gets its environment
    unasked.
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
    def used(
        self, python: str, packages: Sequence[str], is_wanted: Callable[[], bool] = lambda: True
    ) -> Iterator[bool]:
        """The environment stands, and stays, for as long as this goes on; whether it was built for that.

        Raises InputError with what uv said last where it cannot be built, and once it `is_wanted` no more.
        """
        place = Path(python).parents[1]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(SEEN)
        built = False
        with _Lock(place) as lock:
            lock.wait(fcntl.LOCK_SH, is_wanted)
            while not self._stands(python):
                lock.wait(fcntl.LOCK_EX, is_wanted)
                if not self._stands(python):  # or another job was faster
                    self._build(place, packages, lock, is_wanted)
                    built = True
                lock.wait(fcntl.LOCK_SH, is_wanted)
            os.utime(place / READY)
            if built:
                self.make_room()
            yield built

    def make_room(self) -> None:
        """Remove what was used longest ago and is not in use, until the rest is within its bounds; and what builds left
        that were broken off.

        Removed is first what only uv's cache holds, for what it shares with environments takes no room of its own.
        """
        self._remove_broken()
        for ready in sorted(self._folder.glob(f"*/{READY}"), key=_last_used_s):
            if self._bytes(but=CACHE) <= self._settings.max_bytes:
                break
            with _Lock(ready.parent) as lock:
                if lock.take(fcntl.LOCK_EX):
                    _remove(ready.parent)
        if self._bytes() > self._settings.max_bytes:
            with _Lock(self._folder / CACHE) as lock:
                if lock.take(fcntl.LOCK_EX):  # else something is built of it, and the next build sees to this
                    with contextlib.suppress(InputError):  # as to this: what was built stands
                        self._uv("cache", "clean", "--force")

    def _stands(self, python: str) -> bool:
        """It was built, and the Python that it was made from is still there."""
        return self.ready(python) and os.path.exists(python)

    def _remove_broken(self) -> None:
        """What a build left whose process was killed."""
        for lock_file in self._folder.glob(f"*{LOCK_SUFFIX}"):
            place = lock_file.with_suffix("")
            if place.name != CACHE and place.exists() and not (place / READY).exists():
                with _Lock(place) as lock:
                    if lock.take(fcntl.LOCK_EX) and not (place / READY).exists():
                        _remove(place)

    def _bytes(self, but: str = "") -> int:
        """What all of it takes on the disk, but for one folder; files that environments share count once."""
        seen: dict[tuple[int, int], int] = {}
        for folder, folders, names in os.walk(self._folder):
            if Path(folder) == self._folder:
                folders[:] = [name for name in folders if name != but]
            for name in names:
                with contextlib.suppress(OSError):
                    found = os.lstat(os.path.join(folder, name))
                    seen[found.st_dev, found.st_ino] = found.st_blocks * 512
        return sum(seen.values())

    def _build(self, place: Path, packages: Sequence[str], lock: "_Lock", is_wanted: Callable[[], bool]) -> None:
        """What uv writes stays locked while it lives, even when this process has been killed."""
        _remove(place)
        asked = self._folder / f"{place.name}.txt"
        asked.write_text("".join(f"{line}\n" for line in packages))
        with _Lock(self._folder / CACHE) as cache:
            cache.wait(fcntl.LOCK_SH, is_wanted)
            run = partial(self._uv, held=(lock.fd, cache.fd), is_wanted=is_wanted)
            try:
                run("venv", "--quiet", f"--python={_base_python()}", "--no-python-downloads", str(place))
                python = f"--python={place / 'bin' / 'python'}"
                folders = [
                    f"--find-links={Path(one).as_uri()}" for one in self._settings.indexes if one.startswith("/")
                ]
                run("pip", "install", "--no-build", python, *folders, f"--requirements={asked}")
            except InputError:
                _remove(place)
                raise
        (place / READY).touch()

    def _uv(self, *words: str, held: Sequence[int] = (), is_wanted: Callable[[], bool] = lambda: True) -> None:
        """Run uv; raises InputError with its last lines where it does not succeed, and as `used`."""
        process = subprocess.Popen(
            [uv_program(), *words], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors="replace", cwd=self._folder, umask=0o022, pass_fds=tuple(held), start_new_session=True,
            env=uv_environment(self._folder / CACHE, **index_variables(self._settings.indexes)),
        )  # fmt: skip
        end_s = time.monotonic() + BUILD_S
        with process:
            while True:
                try:
                    said = process.communicate(timeout=LOOK_S)[1]
                    break
                except subprocess.TimeoutExpired:
                    if is_wanted() and time.monotonic() < end_s:
                        continue
                os.killpg(process.pid, signal.SIGKILL)
                _check_wanted(is_wanted)
                raise InputError(f"its environment was not built in {BUILD_S:g} s; ask for fewer packages")
        if process.returncode:
            lines = [line.strip()[:LINE] for line in said.splitlines() if line.strip()][-LINES:]
            raise InputError("its environment cannot be built: " + " / ".join(lines))


def index_variables(indexes: Sequence[str]) -> dict[str, str]:
    """How uv is told which indexes there are, beside folders of wheels: it asks its default index last."""
    if urls := [one for one in indexes if not one.startswith("/")]:
        return {"UV_DEFAULT_INDEX": urls[-1], "UV_INDEX": " ".join(urls[:-1])}
    return {"UV_NO_INDEX": "1"} if indexes else {}


class _Lock:
    """The lock beside an environment; it ends with the processes that hold it."""

    def __init__(self, place: Path) -> None:
        self._path, self.fd = place.with_name(place.name + LOCK_SUFFIX), -1

    def __enter__(self) -> "_Lock":
        self.fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.fd)

    def take(self, kind: int) -> bool:
        """Hold it in this way, in place of the way before; False where others have it, and then it is not held."""
        try:
            fcntl.flock(self.fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def wait(self, kind: int, is_wanted: Callable[[], bool]) -> None:
        """As `take`, once others let it go; raises InputError once it `is_wanted` no more."""
        while not self.take(kind):
            _check_wanted(is_wanted)
            time.sleep(LOOK_S)


def _check_wanted(is_wanted: Callable[[], bool]) -> None:
    if not is_wanted():
        raise InputError("it was asked to end before its environment stood")


def _last_used_s(ready: Path) -> float:
    """Of one that another process has just removed: it comes first, and there is nothing to do for it."""
    try:
        return ready.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _base_python() -> str:
    """The Python that this one's environment was made from, which job rooms show."""
    return os.path.realpath(sys.executable)


def _remove(place: Path) -> None:
    """First what says that it is whole."""
    (place / READY).unlink(missing_ok=True)
    shutil.rmtree(place, ignore_errors=True)
    place.with_name(f"{place.name}.txt").unlink(missing_ok=True)

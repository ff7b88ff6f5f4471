"""Where the process that stands by for a command is reached, and what it is the right one for.

Its socket lies in a folder that only its user can enter, under a name that says everything that a process which has
loaded its modules cannot follow any more: kilowait's own files, the interpreters, what is installed in them, variables.
"""

import argparse
import hashlib
import json
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kilowait import __version__
from kilowait.core.errors import InputError
from kilowait.core.hardware import SITE_FILE

MINUTES = "KILOWAIT_WARM_MINUTES"
DEFAULT_MINUTES = 5.0
MOST_NAME = 103
"""Bytes of a socket's name: Linux takes 107, and one is made under a name that is four longer."""
PACKAGE = Path(__file__).parents[2]
_OF_LOADING = ("CUDA", "HF_", "KILOWAIT_", "LC_", "LD_", "MKL_", "OMP_", "PYTHON", "TORCH", "XDG_")
_OTHERS = ("HOME", "LANG", "PATH", "VIRTUAL_ENV")
"""Variables that loading modules may depend on, by how their names begin and by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandbyPlace:
    """The socket of a process, the interpreter that its dry runs have (an option of `predict` and its value; none for
    kilowait's own) and for how many minutes it waits."""

    socket: Path
    interpreter: tuple[tuple[str, str], ...]
    minutes: float


def place_for(args: argparse.Namespace, variables: Mapping[str, str]) -> StandbyPlace | None:
    """Where a process that can run this command may be; None where there is to be none.

    Raises InputError for a number of minutes that is none.
    """
    minutes = _minutes(variables)
    if args.cold or not minutes or not sys.platform.startswith("linux"):
        return None
    if args.image or args.gpu_file or variables.get(SITE_FILE):  # a container keeps no pipes; a file may change
        return None
    if args.conda:  # where an environment of a name lies, and whether it has changed, conda alone could say
        return None
    folder = private_folder(variables)
    if folder is None:
        return None
    interpreter = tuple(_interpreter(args))
    parts: list[object] = [
        __version__,
        os.fspath(PACKAGE),
        sys.executable,
        interpreter,
        _stamps(interpreter),
    ]
    parts.append(sorted((k, v) for k, v in variables.items() if k in _OTHERS or k.startswith(_OF_LOADING)))
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:24]
    found = StandbyPlace(socket=folder / key, interpreter=interpreter, minutes=minutes)
    return found if len(os.fsencode(found.socket)) <= MOST_NAME else None


def private_folder(variables: Mapping[str, str]) -> Path | None:
    """A folder of this user's alone, made where it is not there; None where somebody else has a hand in it."""
    folder = folder_for(variables)
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError:
        return None
    return folder if _is_private(folder) else None


def folder_for(variables: Mapping[str, str]) -> Path:
    """Where that folder is or would be; a program that is run dry never sees it."""
    runtime = variables.get("XDG_RUNTIME_DIR")
    if runtime and _is_private(Path(runtime)):
        return Path(runtime) / "kilowait"
    return Path(tempfile.gettempdir()) / f"kilowait-{os.geteuid()}"


def _is_private(folder: Path) -> bool:
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _minutes(variables: Mapping[str, str]) -> float:
    text = variables.get(MINUTES, "")
    try:
        minutes = float(text) if text else DEFAULT_MINUTES
    except ValueError:
        minutes = -1.0
    if not 0 <= minutes <= 24 * 60:
        raise InputError(f"{MINUTES}={text}: not a number of minutes of a day; 0 leaves nothing behind")
    return minutes


def _interpreter(args: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The option that names the interpreter, with its value as another folder would understand it."""
    if args.python:
        found = None if os.sep in args.python else shutil.which(args.python)
        yield "python", found or os.path.abspath(os.path.expanduser(args.python))
    if args.venv:
        yield "venv", os.path.abspath(os.path.expanduser(args.venv))


def _stamps(interpreter: tuple[tuple[str, str], ...]) -> list[int]:
    """When kilowait's files, and the packages of its Python and the job's, were changed last."""
    files = [path for path in PACKAGE.rglob("*.*") if path.parent.name != "__pycache__"]
    own = max((path.stat().st_mtime_ns for path in files), default=0)
    roots = [Path(sys.executable).parents[1]]
    roots += [Path(value) if option == "venv" else Path(value).parent.parent for option, value in interpreter]
    packages = [path for root in roots for path in sorted(root.glob("lib/python3*/*-packages"))]
    return [own, *(path.stat().st_mtime_ns for path in packages)]

"""The Python that a job will have, where it is not kilowait's own: where it is found, and whether dry runs can use it.

An interpreter needs Python 3.9, PyTorch 2.1 and NumPy, and nothing of kilowait's.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kilowait.core.errors import InputError
from kilowait.predict.dryrun.child import bootstrap

OLDEST_PYTHON, OLDEST_TORCH = (3, 9), (2, 1)
ANSWERS_WITHIN_S = 60.0
"""A cold disk takes seconds to start a Python from."""
IN_IMAGE = "/kilowait-root"
"""Where an image sees the folder that holds kilowait's package."""
ENGINES = ("podman", "apptainer")
_QUESTION = """\
import sys, json
found = {"python": list(sys.version_info[:3]), "torch": None, "numpy": None}
if sys.version_info >= (3, 9):
    from importlib import metadata
    for name in ("torch", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            pass
sys.stdout.write(json.dumps(found))
"""


@dataclass(frozen=True, kw_only=True)
class Interpreter:
    """How a Python is started: `command` comes before its own arguments, and `bootstrap` is the worker's file there.

    `contained` says that the command itself keeps what it runs apart, as a container does; `name` is for messages.
    """

    command: tuple[str, ...]
    name: str
    bootstrap: str = bootstrap.__file__
    contained: bool = False

    @property
    def is_own(self) -> bool:
        """Whether it is the one that kilowait runs under."""
        return self.command == (sys.executable,)


OWN = Interpreter(command=(sys.executable,), name=sys.executable)


def choose(
    *, python: str | None = None, venv: str | None = None, conda: str | None = None, image: str | None = None
) -> Interpreter:
    """The interpreter that was asked for, kilowait's own where none was; raises InputError, also for more than one."""
    asked = {"--python": python, "--venv": venv, "--conda": conda, "--image": image}
    given = {option: value for option, value in asked.items() if value is not None}
    if len(given) > 1:
        raise InputError(f"{' and '.join(given)}: a job has one interpreter; give one of them")
    makers = {"--python": at, "--venv": in_venv, "--conda": in_conda, "--image": in_image}
    return next((makers[option](value) for option, value in given.items()), OWN)


def at(python: str) -> Interpreter:
    """The Python at a path, or of a name on PATH; raises InputError where dry runs cannot use it."""
    found = shutil.which(python) if os.sep not in python else os.path.abspath(os.path.expanduser(python))
    if found is None or not os.access(found, os.X_OK) or Path(found).is_dir():
        raise InputError(f"--python {python}: no program there; name the interpreter, as in --python .venv/bin/python")
    return usable(Interpreter(command=(found,), name=python))


def in_venv(folder: str) -> Interpreter:
    """The Python of a virtual environment; raises InputError."""
    python = Path(folder).expanduser() / "bin" / "python"
    if not python.exists():
        raise InputError(f"--venv {folder}: no bin/python in it; name the environment's folder, as in --venv .venv")
    return usable(Interpreter(command=(os.path.abspath(python),), name=folder))


def in_conda(name: str) -> Interpreter:
    """The Python of a conda environment by its name; raises InputError, naming the environments that there are."""
    prefixes = _conda_prefixes()
    if name not in prefixes:
        known = f"; there are {', '.join(sorted(prefixes))}" if prefixes else "; no conda was found here"
        raise InputError(f"--conda {name}: no environment of that name{known}; or name its Python with --python PATH")
    return usable(Interpreter(command=(str(prefixes[name] / "bin" / "python"),), name=name))


def in_image(image: str) -> Interpreter:
    """Python of a container's image, run by podman or apptainer without network; raises InputError without either."""
    if (interpreter := of_image(image)) is None:
        raise InputError(f"--image {image}: needs {' or '.join(ENGINES)}, and neither is on PATH; install one, or give "
                         "the same environment as --python PATH, --venv DIR or --conda NAME")  # fmt: skip
    return usable(interpreter)


def of_image(image: str) -> Interpreter | None:
    """As `in_image`, without asking what is in it; None where no program is here that runs it without network."""
    engine = next((path for path in map(shutil.which, ENGINES) if path), None)
    if engine is None:
        return None
    root = Path(bootstrap.ROOT)
    inside = f"{IN_IMAGE}/{Path(bootstrap.__file__).relative_to(root)}"
    words = _podman(root) if Path(engine).name == "podman" else _apptainer(root)
    command = (engine, *words, image, "python3")
    return Interpreter(command=command, name=image, bootstrap=inside, contained=True)


def usable(interpreter: Interpreter) -> Interpreter:
    """The interpreter, once it has said that it has what a dry run needs; raises InputError in one line."""
    if interpreter.command in _relied_on:
        return interpreter
    found = _asked(interpreter)
    python = ".".join(map(str, found["python"]))
    if tuple(found["python"]) < OLDEST_PYTHON:
        raise InputError(f"{interpreter.name} is Python {python}; a dry run needs 3.9 or later")
    if found["torch"] is None:
        raise InputError(f"{interpreter.name} is Python {python} without torch; install torch 2.1 or later there")
    if _version(found["torch"]) < OLDEST_TORCH:
        raise InputError(f"{interpreter.name} has torch {found['torch']}; a dry run needs 2.1 or later")
    if found["numpy"] is None:
        raise InputError(f"{interpreter.name} has torch {found['torch']} without numpy; install numpy there")
    return interpreter


def rely_on(interpreter: Interpreter) -> None:
    """It has said what it has, and is not asked again by this process, nor by those that are forked from it."""
    _relied_on.add(interpreter.command)


_relied_on: set[tuple[str, ...]] = set()


def _asked(interpreter: Interpreter) -> dict[str, Any]:
    """What it says of itself, with nothing of this process's environment."""
    command = [*interpreter.command, "-c", _QUESTION]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWERS_WITHIN_S, env=plain_environment(), check=False
        )
        found: dict[str, Any] = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        raise InputError(f"{interpreter.name}: does not answer as a Python would: {error}; name a Python") from error
    return found


def plain_environment() -> dict[str, str]:
    """The way to programs, and for engines of containers where they keep their images."""
    kept = ("HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME")
    return {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **{k: os.environ[k] for k in kept if k in os.environ}}


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("+")[0].split(".")[:2] if part.isdigit())


def _conda_prefixes() -> dict[str, Path]:
    """Environments by name: of the conda that is active or on PATH, and those that conda has listed for the user."""
    listed = Path.home() / ".conda" / "environments.txt"
    prefixes = [Path(line) for line in (listed.read_text().split("\n") if listed.is_file() else []) if line.strip()]
    conda = os.environ.get("CONDA_EXE") or shutil.which("conda") or shutil.which("mamba")
    if conda:
        base = Path(conda).resolve().parents[1]
        prefixes += [base, *(base / "envs").glob("*")]
        roots = {"base": base}
    else:
        roots = {}
    return {**{p.name: p for p in prefixes if (p / "bin" / "python").exists()}, **roots}


def _podman(root: Path) -> Sequence[str]:
    return (
        *("run", "--rm", "--interactive", "--network=none", "--read-only", "--tmpfs=/tmp", "--cap-drop=all"),
        *("--security-opt=no-new-privileges", "--memory=8g", "--pids-limit=256"),
        *(f"--volume={root / 'kilowait'}:{IN_IMAGE}/kilowait:ro", "--entrypoint="),
    )


def _apptainer(root: Path) -> Sequence[str]:
    bind = f"--bind={root / 'kilowait'}:{IN_IMAGE}/kilowait:ro"
    return ("exec", "--containall", "--no-home", "--net", "--network=none", bind)

"""The wheel of this checkout, and environments that it is installed in: none of them has the checkout on its path."""

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PARTS = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "kilowait", "pipelines", "serve", "tuning", "data")


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """A virtual environment and an empty folder to start commands from."""

    folder: Path
    work: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def variables(self) -> dict[str, str]:
        """Few: no PYTHONPATH, and nothing that names the environment of the tests."""
        kept = {name: os.environ[name] for name in ("HOME", "KILOWAIT_CACHE", "LANG", "TMPDIR") if name in os.environ}
        return {**kept, "PATH": f"{self.folder / 'bin'}:/usr/bin:/bin", "RAY_USAGE_STATS_ENABLED": "0"}

    def run(self, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the environment to its end, in the empty folder."""
        words = [str(self.folder / "bin" / command[0]), *command[1:]]
        return subprocess.run(
            words, capture_output=True, text=True, check=False, cwd=self.work, env={**self.variables, **more}
        )


def build_wheel(folder: Path) -> Path:
    """The wheel, built from a copy of what it is made of."""
    source = folder / "source"
    for name in PARTS:
        whole = (ROOT / name).is_dir()
        source.mkdir(exist_ok=True)
        if whole:
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
    (wheel,) = folder.glob("kilowait-*.whl")
    return wheel


def product(folder: Path, wheel: Path) -> Environment:
    """The wheel with all its extras: the libraries are those of the environment of the tests, by a path file."""
    made = _environment(folder)
    _install(made, "--no-deps", str(wheel))
    paths = {"base": str(made.folder), "platbase": str(made.folder)}
    site = Path(sysconfig.get_path("purelib", "venv", vars=paths))
    (site / "libraries.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return made


def base(folder: Path, wheel: Path) -> Environment:
    """The wheel alone with what it asks for, from the registry."""
    made = _environment(folder)
    _install(made, str(wheel))
    return made


def _environment(folder: Path) -> Environment:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
    (folder / "work").mkdir()
    return Environment(folder=folder / "venv", work=folder / "work")


def _install(environment: Environment, *words: str) -> None:
    """As everything here is installed: with uv, else with pip, at the versions that are tried."""
    python = str(environment.python)
    _done([str(ROOT / ".ci" / "install"), sys.prefix, *words], UV_PYTHON=python, PIP_PYTHON=python)


def _pip(*words: str) -> None:
    _done([sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", *words])


def _done(command: list[str], **more: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, **more})
    assert done.returncode == 0, done.stderr

"""The folders pipelines, serve and tuning are also kilowait's sub-packages: no process loads a module by both names."""

import ast
import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELLS = ("pipelines", "serve", "tuning")

LOAD_ALL = """
import json, pkgutil, sys
loaded = []
for top in sys.argv[1:]:
    package = __import__(top, fromlist=["_"])
    loaded.append(top)
    for module in pkgutil.walk_packages(package.__path__, top + "."):
        if not module.name.endswith("__main__"):
            __import__(module.name)
            loaded.append(module.name)
print(json.dumps([loaded, [name for name in sys.modules if sys.modules[name] is not None]]))
"""


def sources(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", ["kilowait", *SHELLS])
def test_nothing_is_imported_by_the_folder_s_own_name(folder: str) -> None:
    """Imports within a folder are relative; kilowait imports none of the three, by whichever name."""
    for path in sources(folder):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [f"{node.module}.{alias.name}" for alias in node.names]
            for name in names:
                parts = name.split(".")
                assert parts[0] not in SHELLS, (path, name)
                assert parts[:2] not in [["kilowait", shell] for shell in SHELLS], (path, name)


@pytest.mark.slow
@pytest.mark.parametrize("prefix", ["", "kilowait."])
def test_all_modules_load_by_one_name_and_none_by_the_other(prefix: str) -> None:
    command = [sys.executable, "-c", LOAD_ALL, *(prefix + shell for shell in SHELLS)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    loaded, modules = json.loads(done.stdout.splitlines()[-1])
    expected = sum(path.name != "__main__.py" for shell in SHELLS for path in sources(shell))
    assert len(loaded) == expected
    assert set(loaded) <= set(modules)
    other = ("kilowait." if not prefix else "",)
    twins = [name for name in modules for shell in SHELLS if f"{name}.".startswith(f"{other[0]}{shell}.")]
    assert twins == []


def test_each_folder_of_the_three_is_a_package() -> None:
    """setup.py finds packages by their __init__.py: a folder without one would be missing from the wheel."""
    for folder in ("kilowait", *SHELLS):
        for path in sources(folder):
            assert (path.parent / "__init__.py").is_file(), path


def test_the_folders_are_mapped_into_kilowait() -> None:
    mapped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    assert {mapped[f"kilowait.{shell}"] for shell in SHELLS} == set(SHELLS)
    assert [name for name in mapped if name.partition(".")[0] != "kilowait"] == []

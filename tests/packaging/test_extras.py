"""Every library that a folder imports comes with the base install or with the extra that the folder is used by."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from kilowait.core.errors import MissingExtra
from kilowait.core.extras import LIBRARIES, explained

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NEEDS = {
    **dict.fromkeys(("advise", "cli", "client", "cluster", "core", "isolation", "policies", "program", "simulate"), ()),
    "predict": ("predict",),
    "measure": ("predict", "gpu"),
    "files": ("serve",),
    "history": ("serve",),
    "live": ("serve",),
    "report": ("lab",),
    "lab": ("lab",),
    "pipelines": ("lab",),
    "tuning": ("lab",),
    "serve": ("serve",),
}
"""The extras by which a folder is used."""

LATER = {"predict": {"scikit-learn"}, "cli": {"sqlalchemy"}, "advise": {"mcp", "pydantic"}}
"""Libraries that only some of a folder needs: training; the commands that open a history themselves; agents."""

OTHERS = {"huggingface-hub": "transformers", "starlette": "fastapi", "tokenizers": "transformers"}
"""Libraries that come with one that is asked for."""


def normalised(name: str) -> str:
    return re.sub("[-_.]+", "-", name).lower()


def brought(extra: str) -> set[str]:
    """The distributions that an extra asks for, with those of the extras that it names."""
    names: set[str] = set()
    for line in PROJECT["optional-dependencies"][extra]:
        name = normalised(re.split(r"[\[><=!~; ]", line)[0])
        if name == "kilowait":
            names |= {one for inner in re.search(r"\[(.*)\]", line)[1].split(",") for one in brought(inner)}
        else:
            names.add(name)
    return names


BASE = {normalised(re.split(r"[\[><=]", line)[0]) for line in PROJECT["dependencies"]}
DISTRIBUTIONS = {
    module: {normalised(d) for d in names} for module, names in importlib.metadata.packages_distributions().items()
}


def imported(folder: Path) -> dict[str, Path]:
    """The third-party modules that the folder's files import, each with a file that does."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0:
                names = [str(node.module)]
            found |= {name.partition(".")[0]: path for name in names}
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names and name != "kilowait"}


@pytest.mark.parametrize("folder", NEEDS)
def test_a_folder_s_libraries_come_with_its_extras(folder: str) -> None:
    place = ROOT / "kilowait" / folder if (ROOT / "kilowait" / folder).is_dir() else ROOT / folder
    offered = BASE | {name for extra in NEEDS[folder] for name in brought(extra)} | LATER.get(folder, set())
    offered |= {name for name, with_what in OTHERS.items() if with_what in offered}
    for module, path in imported(place).items():
        assert DISTRIBUTIONS[module] & offered, (path, module)


def test_every_folder_is_looked_at() -> None:
    folders = {path.parent.name for path in (ROOT / "kilowait").glob("*/__init__.py")}
    assert folders <= set(NEEDS)


def test_the_base_has_nothing_heavy() -> None:
    heavy = {"torch", "ray", "transformers", "pandas", "matplotlib", "sqlalchemy", "pyarrow", "fastapi"}
    assert BASE & heavy == set()


@pytest.mark.parametrize("module", LIBRARIES)
def test_each_library_is_brought_by_the_extra_that_is_named(module: str) -> None:
    offered = brought(LIBRARIES[module].extra)
    offered |= {name for name, with_what in OTHERS.items() if with_what in offered}
    assert DISTRIBUTIONS[module] & offered


def test_all_has_every_extra_of_the_product() -> None:
    extras = PROJECT["optional-dependencies"].keys() - {"all", "dev", "docs", "benchmark"}
    assert set().union(*(brought(extra) for extra in extras)) == brought("all")


HIDE = """
import sys
sys.modules |= dict.fromkeys({hidden!r})  # importing what stands there as None fails as if it were not installed
from kilowait.cli.main import main
sys.exit(main({words!r}))
"""


@pytest.mark.parametrize(
    ("hidden", "words", "said"),
    [
        ({"torch"}, ["predict", "train.py"], "kilowait predict needs PyTorch: pip install 'kilowait[predict]'"),
        ({"ray"}, ["serve"], "kilowait serve needs Ray: pip install 'kilowait[serve]'"),
        ({"sqlalchemy"}, ["lab", "refit"], "kilowait lab refit needs SQLAlchemy: pip install 'kilowait[lab]'"),
        ({"torch"}, ["lab", "train"], "kilowait lab train needs PyTorch: pip install 'kilowait[lab]'"),
        (
            {"sqlalchemy"},
            ["token", "create", "--owner", "me", "--role", "read", "--database", "x.db"],
            "kilowait token needs SQLAlchemy: pip install 'kilowait[serve]'",
        ),
        (
            {"sqlalchemy"},
            ["backup", "x.db", "--database", "sqlite:///y.db"],
            "kilowait backup needs SQLAlchemy: pip install 'kilowait[serve]'",
        ),
        ({"mcp"}, ["mcp"], "kilowait mcp needs the MCP SDK: pip install 'kilowait[mcp]'"),
        (
            {"psycopg"},
            ["token", "create", "--owner", "me", "--role", "read", "--database", "postgresql://localhost/x"],
            "kilowait token needs psycopg: pip install 'kilowait[postgres]'",
        ),
    ],
)
def test_a_command_without_its_library_names_the_extra(
    hidden: set[str], words: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text("print(1)\n")
    command = [sys.executable, "-c", HIDE.format(hidden=hidden, words=words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (2, f"kilowait: {said}\n", "")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("kilowait.predict('train.py')", "kilowait predict needs PyTorch: pip install 'kilowait[predict]'"),
        ("kilowait.Predictor", "kilowait.Predictor needs PyTorch: pip install 'kilowait[predict]'"),
    ],
)
def test_the_python_api_without_its_library_names_the_extra(call: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text("print(1)\n")
    code = "import sys, kilowait; sys.modules['torch'] = None\n"
    code += f"try: {call}\nexcept kilowait.errors.MissingExtra as error: print(error)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout == f"{said}\n"


def test_a_module_that_no_extra_brings_is_a_fault_of_the_program() -> None:
    error = ModuleNotFoundError("No module named 'kilowait.nothing'", name="kilowait.nothing")
    with pytest.raises(ModuleNotFoundError) as raised:
        explained(error, "kilowait predict")
    assert raised.value is error
    assert not isinstance(raised.value, MissingExtra)

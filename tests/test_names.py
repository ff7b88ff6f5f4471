"""One name, one thing; and no folder or file that one can lose one's way in."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_LINES, MOST_MODULES = 300, 20
ONE_A_ROW = {"kilowait/lab/corpus/families"}
"""Folders of many modules of one kind, each of which stands for itself."""
COMMANDS = ("kilowait/cli", "pipelines", "serve", "tuning")
"""Where commands are: one is named after the part of kilowait that it runs."""


def modules():
    return [path for top in ("kilowait", "pipelines", "serve", "tuning") for path in sorted((ROOT / top).rglob("*.py"))]


def shown(path):
    return path.relative_to(ROOT).as_posix()


def is_command(path):
    return shown(path).startswith(tuple(f"{folder}/" for folder in COMMANDS))


def thing(path):
    """What a module is part of where it has the name of its folder: that folder; else itself."""
    return path.parent if path.stem in ("__init__", path.parent.name) else path


def things():
    """Modules and packages by name; a package and the module of its name in it are one."""
    by_name = defaultdict(set)
    for path in modules():
        if path.stem == "__init__" or not path.stem.startswith("__"):
            by_name[thing(path).stem].add(thing(path))
    return by_name


def test_no_two_public_classes_have_the_same_name():
    defined = defaultdict(list)
    for path in modules():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                defined[node.name].append(shown(path))
    assert len(defined) > 300
    assert {name: where for name, where in defined.items() if len(where) > 1} == {}


def test_no_two_modules_have_the_same_name_but_a_command_and_what_it_runs():
    assert len(things()) > 250
    for name, found in things().items():
        parts = [path for path in found if not is_command(path)]
        commands = [path for path in found if is_command(path)]
        assert len(parts) <= 1, f"{name}: {', '.join(map(shown, parts))}"
        assert len(commands) <= 1, f"{name}: {', '.join(map(shown, commands))}"
        if parts and commands:
            assert runs(commands[0]), f"{shown(commands[0])} is no command, and {shown(parts[0])} has its name"


def runs(path):
    """Whether a module, or the one of its name in a package, is a command: of Python, or of `kilowait`."""
    module = path / f"{path.name}.py" if path.is_dir() else path
    names = {node.name for node in ast.parse(module.read_text()).body if isinstance(node, ast.FunctionDef)}
    return bool({"main", "run"} & names)


def test_every_package_says_what_may_come_in():
    packages = [path for path in modules() if path.name == "__init__.py"]
    assert [shown(path) for path in packages if not ast.get_docstring(ast.parse(path.read_text()))] == []
    assert {path.parent for path in packages} == {path.parent for path in modules()}


@pytest.mark.parametrize("folder", sorted({path.parent for path in modules()}), ids=shown)
def test_a_folder_and_its_files_can_be_taken_in_at_a_glance(folder):
    own = [path for path in folder.glob("*.py") if not path.stem.startswith("__")]
    assert len(own) <= MOST_MODULES or shown(folder) in ONE_A_ROW
    long = {shown(path): lines for path in own if (lines := len(path.read_text().splitlines())) > MOST_LINES}
    assert long == {}

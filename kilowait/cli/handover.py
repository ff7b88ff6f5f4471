"""`kilowait serve` and `kilowait lab NAME`: commands that run on Ray, found by name and handed the rest of the line.

The one module of kilowait that knows of the shells above it. They are installed as kilowait.serve, kilowait.pipelines
and kilowait.tuning; from a checkout the same folders are also serve, pipelines and tuning, and one process never loads
a module under both names: what is handed over here is always kilowait's.
"""

import argparse
import ast
import importlib
import re
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

from kilowait.core.errors import InputError, MissingExtra
from kilowait.core.extras import explained

SERVE, LAB = "serve", "lab"
COMMANDS = {
    SERVE: "run the live service: a Ray cluster, the scheduler, its HTTP API and page",
    LAB: "label, embed, train, evaluate, backtest, tune: `kilowait lab --help` lists them",
}
SHELLS = {"kilowait.pipelines": "", "kilowait.tuning": "tune-"}
"""The packages whose commands `kilowait lab` runs, each with what stands before a command's name."""


def add_commands(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare them for `kilowait --help`; their own options are read where they are handed over to."""
    for name, sentence in COMMANDS.items():
        commands.add_parser(name, help=sentence, add_help=False)


def hand_over(words: Sequence[str]) -> int:
    """Run `serve ARGS` or `lab NAME ARGS`; returns its exit code, 2 for a name or a library that is not there."""
    try:
        if words[0] == SERVE:
            return _run("kilowait.serve.start", "kilowait serve", words[1:], SERVE)
        if len(words) == 1 or words[1] in ("-h", "--help"):
            sys.stdout.write(_overview())
            return 0 if len(words) > 1 else 2
        return _run(_module(words[1]), f"kilowait lab {words[1]}", words[2:], LAB)
    except (MissingExtra, InputError) as error:
        sys.stderr.write(f"kilowait: {error}\n")
        return 2


def lab_commands() -> Mapping[str, str]:
    """The module of each command of `kilowait lab`, by the command's name; nothing is imported."""
    modules = {}
    for shell, prefix in SHELLS.items():
        for path in sorted(_folder(shell).iterdir()):
            if _is_command(path):
                modules[f"{prefix}{path.stem}"] = f"{shell}.{path.stem}"
    return modules


def sentence(module: str) -> str:
    """What a command is for, from its module's docstring and without importing it."""
    shell, _, name = module.rpartition(".")
    folder = _folder(shell)
    path = folder / name / "__init__.py" if (folder / name).is_dir() else folder / f"{name}.py"
    summary = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]
    return re.split(r"[:.]? *`?(?:python -m|kilowait lab) ", summary)[0].removesuffix(".")


def _run(module: str, name: str, words: Sequence[str], extra: str) -> int:
    try:
        command = importlib.import_module(module)
        if hasattr(command, "__path__"):  # a folder's main is in the module of the folder's name
            command = importlib.import_module(f"{module}.{module.rpartition('.')[2]}")
        main = command.main
        sys.argv = [name, *words]
        code: int = main(list(words))
    except ModuleNotFoundError as error:
        raise explained(error, name, extra) from error
    return code


def _module(name: str) -> str:
    modules = lab_commands()
    if name not in modules:
        matches = get_close_matches(name, modules, 1)
        hint = f"did you mean {matches[0]}?" if matches else "kilowait lab --help lists them"
        raise InputError(f"kilowait lab has no command {name!r}; {hint}")
    return modules[name]


def _overview() -> str:
    commands = {name: sentence(module) for name, module in lab_commands().items()}
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {text}\n" for name, text in commands.items()]
    head = "usage: kilowait lab COMMAND ...\n\nLabel, embed, train, evaluate, backtest and tune, on Ray.\n\ncommands:\n"
    return head + "".join(lines) + "\nEach command explains itself: kilowait lab train --help\n"


def _folder(shell: str) -> Path:
    spec = find_spec(shell)
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"{shell} is not there: this folder of kilowait is not installed; pip install --editable it")
    return Path(spec.submodule_search_locations[0])


def _is_command(path: Path) -> bool:
    """A package that runs, or a module that does something when it is run."""
    if path.is_dir():
        return (path / "__main__.py").is_file()
    return path.suffix == ".py" and '\nif __name__ == "__main__":\n' in path.read_text(encoding="utf-8")

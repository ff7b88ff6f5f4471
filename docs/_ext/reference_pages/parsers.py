"""Get a command's argument parser without knowing how it is built: run its `main` and stop when it parses."""

import argparse
import importlib
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn
from unittest.mock import patch

ROOT = Path(__file__).parents[3]


class _ParserReady(Exception):  # noqa: N818 - no error: it leaves main early
    """Carries the parser out of the command."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__(parser.prog)
        self.parser = parser


def parser_of(module: str, words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of the module's `main`, as it is for these words; raises RuntimeError when it parses nothing."""

    def stop(self: argparse.ArgumentParser, *_: object, **__: object) -> NoReturn:
        raise _ParserReady(self)

    main = importlib.import_module(module).main
    with patch("sys.argv", [module, *words]), patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            main(list(words)) if main.__code__.co_argcount else main()
        except _ParserReady as stopped:
            return stopped.parser
    raise RuntimeError(f"{module}: main() parsed no arguments")


def shell(folder: str) -> str:
    """The package that a top-level folder is: kilowait.serve where it is installed so, else serve.

    One process must not load a folder under both names.
    """
    return f"kilowait.{folder}" if find_spec(f"kilowait.{folder}") else folder


def runnable(package: str) -> Iterator[str]:
    """What `python -m` can run in a top-level folder: modules with an ArgumentParser, and packages with __main__."""
    for path in sorted((ROOT / package).iterdir()):
        if (path / "__main__.py").exists():
            yield f"{package}.{path.name}"
        elif path.suffix == ".py" and 'if __name__ == "__main__"' in path.read_text(encoding="utf-8"):
            yield f"{package}.{path.stem}"


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The parsers under a parser, by name."""
    return {
        name: child
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for name, child in action.choices.items()
    }


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Every parser that has no subcommands, in order."""
    children = subcommands(parser)
    if not children:
        yield parser
    for child in children.values():
        yield from leaves(child)

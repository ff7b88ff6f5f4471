"""The commands: of `kilowait`, and of the folders whose modules `python -m` runs."""

import argparse
import re

from . import parsers

HEAD = """# Commands

Written from the parsers when this site is built. Every command prints the same with `--help`.

"""
PIPELINES_HEAD = """# Pipelines, tuning and benchmarks

In a checkout these are run as `python -m MODULE`. From an installed package `kilowait lab NAME` runs the pipeline NAME,
and `kilowait lab tune-NAME` the command NAME of `tuning`; `kilowait lab --help` lists them. Benchmarks need a checkout.
Written from the parsers when this site is built.
"""
MAIN = "kilowait.cli.main"
GROUPS = ("lab",)
"""Commands that only name others, which have a page of their own."""
SIGNS = re.compile(r"[\\*_<>\[\]{}$`]")
"""What has a meaning in Markdown."""
FOLDERS = ("pipelines", "tuning", "serve", "benchmarks")


def page() -> str:
    """Every command of `kilowait`."""
    return HEAD + "\n".join(section(parser) for parser in kilowait_commands())


def kilowait_commands() -> list[argparse.ArgumentParser]:
    """The parsers of the command line, each with the arguments that it has when it is asked for."""
    names = [name for name in parsers.subcommands(parsers.parser_of(MAIN)) if name not in GROUPS]
    return [leaf for name in names for leaf in parsers.leaves(_asked_for(name))]


def _asked_for(name: str) -> argparse.ArgumentParser:
    """The parser of a command, or of the module that the command hands over to."""
    parser = parsers.parser_of(MAIN, [name])
    return parsers.subcommands(parser).get(name, parser)


def pipelines_page() -> str:
    """Every module with a command line beside kilowait."""
    parts = [PIPELINES_HEAD]
    for folder in FOLDERS:
        found = [module for module in parsers.runnable(folder) if module != "serve.app"]
        parts.append(f"## {folder}\n")
        parts += [section(parsers.parser_of(_module(name)), f"python -m {name}", "###") for name in found]
    return "\n".join(parts)


def _module(name: str) -> str:
    """Where `main` stands: a folder that can be run has it in the module of its own name."""
    folder = parsers.ROOT / name.replace(".", "/")
    package, _, rest = name.partition(".")
    name = f"{package if package == 'benchmarks' else parsers.shell(package)}.{rest}"
    return f"{name}.{folder.name}" if folder.is_dir() else name


def section(parser: argparse.ArgumentParser, title: str = "", level: str = "##") -> str:
    """A heading, what the command is for, its usage, options and examples."""
    parts = [f"{level} {title or parser.prog}\n"]
    if parser.description:
        parts.append(_text(parser.description.strip()))
    parts.append(f"```text\n{parser.format_usage().strip()}\n```\n")
    rows = [_row(action) for action in parser._actions if not isinstance(action, argparse._HelpAction)]
    if rows:
        parts.append("\n".join(["| argument | meaning |", "| --- | --- |", *rows]) + "\n")
    if parser.epilog:
        parts.append(_text(parser.epilog))
    return "\n".join(parts)


def _row(action: argparse.Action) -> str:
    formatter = argparse.HelpFormatter("")
    names = ", ".join(action.option_strings) if action.option_strings else (action.metavar or action.dest)
    value = "" if action.nargs == 0 or not action.option_strings else formatter._format_args(action, _name(action))
    meaning = formatter._expand_help(action) if action.help else ""
    if action.required and action.option_strings:
        meaning += " (required)"
    return f"| `{f'{names} {value}'.strip()}` | {cell(meaning)} |".replace("`|", "` |")


def _name(action: argparse.Action) -> str:
    if action.choices is not None and action.metavar is None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper()


def cell(text: str) -> str:
    """Text for one cell of a table."""
    return escaped(" ".join(text.split())).replace("|", "\\|")


def _text(text: str) -> str:
    """A description or an epilog: as it is printed, since people lay it out by hand."""
    return f"```text\n{text.rstrip()}\n```\n" if "\n" in text else escaped(text) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, but for words in backticks, which stay code."""
    parts = re.split(r"(`[^`\n]+`)", text)
    return "".join(part if part[:1] == "`" and len(part) > 1 else SIGNS.sub(r"\\\g<0>", part) for part in parts)

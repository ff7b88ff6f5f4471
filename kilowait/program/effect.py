"""What each option of a program will be when it runs: the arguments given, and the defaults for the rest."""

import argparse
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from kilowait.program.job_source import JobSource
from kilowait.program.options import UNKNOWN, DeclaredOption, Place

_MAX_POSITIONALS = 10
"""Of variable length, they cost argparse time that grows with every combination."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effective:
    """The value of one option, whether the arguments give it or the program does, and where that says so.

    `path` and `places` are where the program states another default, `repeats` says that it is the default.
    """

    value: Any
    evidence: Literal["given", "default"]
    where: str
    path: str = ""
    places: tuple[Place, ...] = ()
    repeats: bool = False


def arguments_in_effect(source: JobSource) -> dict[str, Effective]:
    """The value of every option by its name in the program, in the order of declaration, then what is not declared.

    Options are read from the entrypoint or, when it declares none, from the first of its modules that does. argparse
    itself decides what the arguments mean. Arguments that the program would refuse, and those that it does not
    declare, are read as `--name value`, `--name=value` and `name=value` (hydra). A default that is known only at
    run time is left out.
    """
    path, options = declaring(source)
    values, unparsed, _ = _parse(options, source.arguments)
    effective: dict[str, Effective] = {}
    for option in options:
        if option.dest in values:
            same_name = [o for o in options if o.dest == option.dest]
            effective[option.dest] = _given(values[option.dest], path, same_name)
        elif option.dest not in effective and option.default is not UNKNOWN:
            where = f"{path}, line {option.line}"
            effective[option.dest] = Effective(value=_default(option), evidence="default", where=where)
    for name, value in _loose(unparsed):
        effective[name] = Effective(value=value, evidence="given", where="arguments")
    return effective


def arguments_refused(source: JobSource) -> str:
    """Why the program itself would refuse its arguments, "" when it would not as far as its options are known."""
    return _parse(declaring(source)[1], source.arguments)[2]


def _given(value: Any, path: str, options: Sequence[DeclaredOption]) -> Effective:
    """A given value of the option that `options` declare: one, or several of the same name."""
    others = [option for option in options if _default(option) != value]
    places = tuple(option.place for option in others if option.place)
    return Effective(value=value, evidence="given", where="arguments", path=path, places=places, repeats=not others)


def declaring(source: JobSource) -> tuple[str, list[DeclaredOption]]:
    """The module that declares the options, and them."""
    return source.reached.declaring or source.entrypoint, source.reached.options


class _Refused(Exception):  # noqa: N818 - not an error here: the job's own parser will say it better
    pass


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise _Refused(message)


def _parse(options: Sequence[DeclaredOption], arguments: Sequence[str]) -> tuple[Mapping[str, Any], Sequence[str], str]:
    """What the arguments give by name, the words that they do not account for, and why the parser refuses, if so."""
    parser = _Parser(add_help=False, argument_default=argparse.SUPPRESS, conflict_handler="resolve")
    positionals = 0
    for option in options:
        positionals += not option.flags
        if option.flags or positionals <= _MAX_POSITIONALS:
            _declare(parser, option)
    try:
        namespace, unparsed = parser.parse_known_args(list(arguments))
    except (_Refused, ValueError, TypeError) as error:
        return {}, arguments, str(error)
    return vars(namespace), unparsed, ""


def _declare(parser: argparse.ArgumentParser, option: DeclaredOption) -> None:
    """Add the option to the parser; one that argparse itself would not take is left undeclared."""
    names = option.flags or (option.dest,)
    keywords: dict[str, Any] = {"dest": option.dest} if option.flags else {}
    if option.negatable and option.kind is bool:
        keywords["action"] = argparse.BooleanOptionalAction
    elif option.kind is bool:
        keywords |= {"action": "store_const", "const": option.on}
    else:
        nargs = option.nargs if option.flags or option.nargs else "?"  # a missing word is the program's to refuse
        keywords |= {"type": option.kind, "nargs": nargs, "choices": option.choices}
        keywords |= {"action": "append"} if option.append else {}
    try:
        parser.add_argument(*names, **keywords)
    except (ValueError, TypeError, argparse.ArgumentError):
        return


def _default(option: DeclaredOption) -> Any:
    """The default as argparse would have it: a text goes through the option's type."""
    try:
        return option.kind(option.default) if isinstance(option.default, str) else option.default
    except ValueError:
        return option.default


def _loose(words: Sequence[str]) -> Iterator[tuple[str, Any]]:
    """(name, value) of words that no declared option accounts for; one without a name is named by its position."""
    index, position = 0, 0
    while index < len(words):
        word, next_word = words[index], words[index + 1] if index + 1 < len(words) else "-"
        index += 1
        name, equals, value = word.partition("=")
        if equals and re.fullmatch(r"[-+~@\w./]+", name):
            yield _plain(name), _number(value)
        elif word.startswith("-") and word.strip("-") and not _is_number(word):
            has_value = _is_number(next_word) or not next_word.startswith("-")
            yield _plain(word), _number(next_word) if has_value else True
            index += has_value
        elif word != "--":
            position += 1
            yield f"argument_{position}", _number(word)


def _plain(name: str) -> str:
    return name.lstrip("-+~").replace("-", "_")


def _is_number(word: str) -> bool:
    return not isinstance(_number(word), str)


def _number(text: str) -> int | float | str:
    converters: tuple[Callable[[str], int | float], ...] = (int, float)
    for convert in converters:
        try:
            return convert(text)
        except ValueError:
            continue
    return text

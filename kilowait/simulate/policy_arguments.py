"""Policies and their parameters as options of a command, and what its help says of them: all from the registry."""

import argparse
from collections.abc import Callable, Iterable, Mapping, Sequence
from textwrap import fill
from types import MappingProxyType
from typing import Any

from kilowait.core.errors import InputError
from kilowait.policies import DEFAULT_POLICY, POLICIES, Parameter, Rule
from kilowait.policies.wrappers.wrapper import split_names, wrappers

WIDTH = 118


def named_rules(words: Sequence[str], option: str = "--policy") -> dict[str, Rule]:
    """The registry's rules, with those that the value of `option` among `words` names besides (MODULE:RULE).

    Raises InputError for one that cannot be loaded.
    """
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    finder.add_argument(option, dest="names", nargs="?", default="")
    args, _ = finder.parse_known_args(list(words))
    names = [part.split("=")[0].strip() for part in split_names(args.names or "")]
    return {**POLICIES, **{n: POLICIES[n] for n in names if (":" in n or "(" in n) and n in POLICIES}}


def explained(rules: Iterable[Rule]) -> str:
    """A paragraph a policy: its sentence, what adds to it, and a line of its options."""
    listed_rules = list(rules)
    indent = 4 + max(len(rule.name) for rule in listed_rules)
    lines = []
    for rule in listed_rules:
        text = "; ".join(filter(None, (rule.sentence, rule.detail)))
        lines.append(fill(text, WIDTH, initial_indent=f"  {rule.name:<{indent - 2}}", subsequent_indent=" " * indent))
        lines += [" " * indent + " ".join(option.word for option in rule.options)] if rule.options else []
    return "\n".join(lines)


def explained_wrappers() -> str:
    """A paragraph a wrapper: how it is written around a policy, and what it adds."""
    shown = {w.shown("POLICY"): w.sentence for w in wrappers().values()}
    indent = 4 + max(map(len, shown))
    return "\n".join(
        fill(sentence, WIDTH, initial_indent=f"  {name:<{indent - 2}}", subsequent_indent=" " * indent)
        for name, sentence in shown.items()
    )


def add_parameters(
    parser: argparse.ArgumentParser, rules: Iterable[Rule], *, apart: Mapping[str, Parameter] = MappingProxyType({})
) -> None:
    """One option for each parameter of these policies, None where it is not given; alternatives exclude each other.

    `apart` holds parameters that the command says or reads in its own way, by name.
    """
    by_name: dict[str, list[tuple[Rule, Parameter]]] = {}
    for rule in rules:
        for option in rule.options:
            by_name.setdefault(option.name, []).append((rule, apart.get(option.name, option)))
    replaced_by_name = {option.name: option.instead_of for ((_, option), *_) in by_name.values() if option.instead_of}
    groups = {name: parser.add_mutually_exclusive_group() for name in replaced_by_name.values()}
    for name, takers in by_name.items():
        option = takers[0][1]
        group = groups.get(replaced_by_name.get(name, name), parser)
        group.add_argument(option.word, type=_argument(option.read), metavar=option.metavar, help=_help(takers))


def _argument(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """A reader whose complaints argparse shows."""

    def argument(text: str) -> Any:
        try:
            return read(text)
        except InputError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return argument


def _help(takers: Sequence[tuple[Rule, Parameter]]) -> str:
    """Whose it is, what it means, its default; defaults that differ stand with their policies."""
    option = takers[0][1]
    defaults = {parameter.shown_default for _, parameter in takers}
    if len(defaults) > 1:
        value = ", ".join(f"{rule.name} {parameter.shown_default or 'none'}" for rule, parameter in takers)
    else:
        value = option.shown_default
    text = f"{', '.join(rule.name for rule, _ in takers)}: {option.sentence}" + (f" (default {value})" if value else "")
    return text.replace("%", "%%")


def given(args: argparse.Namespace, rule: Rule) -> dict[str, Any]:
    """What was given of a policy's options, by name."""
    return {option.name: getattr(args, option.name, None) for option in rule.options}


def refuse_others(args: argparse.Namespace, rule: Rule) -> None:
    """Raise InputError for the default policy and an option of others: whoever gives that means another.

    Where a policy is named, options of others are left alone.
    """
    if rule.name != DEFAULT_POLICY:
        return
    theirs = [(o, other) for other in POLICIES.values() for o in other.options if o.name not in rule.takes]
    if strange := next((o for o, _ in theirs if getattr(args, o.name, None) is not None), None):
        names = ", ".join(other.name for o, other in theirs if o.name == strange.name)
        raise InputError(f"{strange.word} is for --policy {names}: name one; {rule.name} runs where none is named")

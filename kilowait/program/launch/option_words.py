"""The options of a launcher, told apart from the command that it runs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionWords:
    """`pairs` are (plain name, value) in order, `taken` the words of the options, `rest` what follows them."""

    pairs: tuple[tuple[str, str], ...]
    taken: tuple[str, ...]
    rest: tuple[str, ...]

    def value(self, *names: str) -> str:
        """The last value given under one of these names, "" where none was."""
        return next((value for name, value in reversed(self.pairs) if name in names), "")

    def has(self, *names: str) -> bool:
        """Whether one of these was given."""
        return any(name in names for name, _ in self.pairs)


def plain_name(word: str) -> str:
    """`--nproc-per-node` as `nproc_per_node`."""
    return word.lstrip("-").replace("-", "_")


def split_options(
    words: Sequence[str],
    switches: Sequence[str] = (),
    *,
    ends: Sequence[str] = (),
    pairs: Mapping[str, int] | None = None,
) -> OptionWords:
    """The options at the beginning of `words`; `switches` take no value, at one of `ends` the rest begins.

    Of short options the value may stand in the same word (`-n8`). `pairs` are options of more than one value.
    """
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(words):
        word = words[at]
        if word in ends or not word.startswith("-") or word == "-":
            break
        at += 1
        if word == "--":
            break
        name, equals, value = word.partition("=")
        if equals:
            found.append((plain_name(name), value))
        elif word in switches:
            found.append((plain_name(word), ""))
        elif pairs and word in pairs:
            at += pairs[word]
        elif joined := re.fullmatch(r"-([a-zA-Z])([0-9]\S*)", word):
            found.append((joined[1], joined[2]))
        elif at < len(words) and not words[at].startswith("-"):
            found.append((plain_name(word), words[at]))
            at += 1
        else:
            found.append((plain_name(word), ""))
    return OptionWords(pairs=tuple(found), taken=tuple(words[:at]), rest=tuple(words[at:]))


def first_number(text: str) -> int:
    """The whole number that a text is or begins with, 0 where it is none."""
    match = re.match(r"[0-9]{1,6}", text, re.ASCII)
    return int(match[0]) if match else 0

"""Splits generated Python into strings, comments, names and the rest, so that a rename never touches text.

Written by hand because `tokenize` sees f-strings differently from one Python version to the next, and a corpus
must be byte-identical everywhere.
"""

import functools
import re
from collections.abc import Callable
from typing import Literal

Kind = Literal["string", "comment", "name", "other"]

_TOKEN = re.compile(
    r"""(?P<string>[rbfRBF]{0,2}(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|\"(?:[^"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'))
      | (?P<comment>\#[^\n]*)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<other>\d[\w.]*|[()\[\]{},]|[^\w"'\#()\[\]{},]+|.)""",
    re.VERBOSE | re.DOTALL,
)
_FIELD = re.compile(r"\{([^{}:!]+)([^{}]*)\}")


@functools.lru_cache(maxsize=4096)
def lex(code: str) -> tuple[tuple[Kind, str], ...]:
    """The pieces of `code` in order; joined they give `code` back."""
    return tuple((match.lastgroup, match.group()) for match in _TOKEN.finditer(code))  # type: ignore[misc]


def map_names(code: str, replace: Callable[[str, str, str], str]) -> str:
    """`code` with every name passed through `replace(name, before, after)`, also inside f-string fields.

    `before` is the last character that is no white space in front of the name, `after` the text that follows.
    """
    out: list[str] = []
    before, position = "", 0
    for kind, text in lex(code):
        position += len(text)
        if kind == "name":
            out.append(replace(text, before, code[position : position + 40]))
        elif kind == "string" and "f" in text[:2].lower().split('"')[0].split("'")[0]:
            out.append(_FIELD.sub(lambda m: "{" + map_names(m[1], replace) + m[2] + "}", text))
        else:
            out.append(text)
        if kind != "comment":
            before = text.rstrip()[-1:] or before
    return "".join(out)


def substitute(
    code: str,
    *,
    hyper: Callable[[str], str],
    state: Callable[[str], str],
    other: Callable[[str, str, str], str] = lambda name, before, after: name,
) -> str:
    """`code` with `H.name` and `S.name` as the style writes them and every other name through `other`."""
    holders = {"H": hyper, "S": state}
    pending: list[Callable[[str], str]] = []

    def replace(name: str, before: str, after: str) -> str:
        if pending:
            return pending.pop()(name)
        if name in holders and before != "." and after.startswith("."):
            pending.append(holders[name])
            return "\0"
        return other(name, before, after)

    return map_names(code, replace).replace("\0.", "")


def identifiers(code: str) -> tuple[list[str], list[str], set[str]]:
    """Hyperparameters (`H.x`) and state (`S.x`) in order of appearance, and every other name in `code`."""
    hyper: dict[str, None] = {}
    state: dict[str, None] = {}
    other_names: set[str] = set()

    def note(into: dict[str, None]) -> Callable[[str], str]:
        return lambda name: into.setdefault(name) or name

    def other(name: str, before: str, after: str) -> str:
        other_names.add(name)
        return name

    substitute(code, hyper=note(hyper), state=note(state), other=other)
    return list(hyper), list(state), other_names

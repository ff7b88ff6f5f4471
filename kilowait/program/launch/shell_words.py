"""A command of a shell script as words: quotes, variables, substitutions.

What a command would print is told for the few that scripts ask for paths and numbers; any other gives nothing.
"""

import ast
import operator
import posixpath
import re
from collections.abc import Callable, Mapping

from kilowait.program.launch.shell_text import split_commands
from kilowait.program.launch.shell_variables import JOB, Variables

_NAME = re.compile(r"[A-Za-z_]\w*|[0-9#@*?$!-]")
_DEEPEST = 10
"""Substitutions inside each other."""
_MOST = 100_000
"""Characters of a word that is put together: a bound on scripts that double it."""


def words_of(command: str, variables: Variables) -> list[str]:
    """The words of a command after every expansion."""
    return _Words(command, variables).read()


class _Words:
    """One pass over a command."""

    def __init__(self, command: str, variables: Variables) -> None:
        self.text, self.variables, self.at = command, variables, 0
        self.words: list[str] = []
        self.word: str | None = None

    def read(self) -> list[str]:
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char.isspace():
                self._end()
            elif char == "'":
                end = self.text.find("'", self.at)
                end = len(self.text) if end < 0 else end
                self._add(self.text[self.at : end])
                self.at = end + 1
            elif char == '"':
                self._quoted()
            elif char == "\\":
                self._add(self.text[self.at : self.at + 1].replace("\n", ""))
                self.at += 1
            elif char in "$`":
                self._split(self._expansion(char))
            elif char in "<>" and self._redirects():
                continue
            else:
                self._add(char)
        self._end()
        return self.words

    def _add(self, text: str) -> None:
        self.word = ((self.word or "") + text)[:_MOST]

    def _end(self) -> None:
        if self.word is not None:
            self.words.append(self.word)
        self.word = None

    def _redirects(self) -> bool:
        """Pass over `> file`, `2>&1`."""
        if self.word is not None and self.word.isdigit():
            self.word = None
        self._end()
        match = re.match(r"[<>]*&?[0-9-]*\s*", self.text[self.at :])
        self.at += match.end() if match else 0
        if match and "&" not in match[0]:
            target = re.match(r"(\"[^\"]*\"|'[^']*'|\S)+", self.text[self.at :])
            self.at += target.end() if target else 0
        return True

    def _quoted(self) -> None:
        self._add("")
        while self.at < len(self.text) and self.text[self.at] != '"':
            char = self.text[self.at]
            self.at += 1
            if char == "\\" and self.text[self.at : self.at + 1] in ('"', "\\", "$", "`", "\n"):
                self._add(self.text[self.at].replace("\n", ""))
                self.at += 1
            elif char in "$`":
                value = self._expansion(char)
                if isinstance(value, list):
                    self._listed(value)
                else:
                    self._add(value)
            else:
                self._add(char)
        self.at += 1

    def _listed(self, values: list[str]) -> None:
        """`"${LIST[@]}"` in quotes: a word each."""
        if not values and self.word == "":
            self.word = None
        for position, value in enumerate(values):
            if position:
                self._end()
            self._add(value)

    def _split(self, value: str | list[str]) -> None:
        parts = value.split() if isinstance(value, str) else value
        if isinstance(value, str) and value[:1].isspace():
            self._end()
        for position, part in enumerate(parts):
            if position:
                self._end()
            self._add(part)
        if isinstance(value, str) and value[-1:].isspace():
            self._end()

    def _expansion(self, char: str) -> str | list[str]:
        if char == "`":
            return self._printed(self._until("`"))
        rest = self.text[self.at :]
        if rest.startswith("(("):
            self.at += 2
            inside = self._until(")")
            self.at += self.text[self.at : self.at + 1] == ")"
            return str(_number(inside, self.variables))
        if rest.startswith("("):
            self.at += 1
            return self._printed(self._until(")"))
        if rest.startswith("{"):
            self.at += 1
            return _braced(self._until("}"), self.variables)
        match = _NAME.match(rest)
        if match is None:
            return "$"
        self.at += match.end()
        values = self.variables.many(match[0]) if match[0] in "@*" else None
        return values if values is not None else self.variables.text(match[0])

    def _until(self, close: str) -> str:
        """What stands before the bracket that closes the one that was opened."""
        opening = {")": "(", "}": "{", "`": ""}[close]
        depth, start = 1, self.at
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            if char == "\\":
                self.at += 1
            elif char == close:
                depth -= 1
                if depth == 0:
                    return self.text[start : self.at - 1]
            elif char == opening:
                depth += 1
        return self.text[start:]

    def _printed(self, command: str) -> str:
        return printed(command, self.variables)


def _braced(inside: str, variables: Variables) -> str | list[str]:
    """`${NAME}`, `${NAME:-default}`, `${LIST[@]}`, `${#LIST[@]}`, `${NAME%.*}`; other forms give the value."""
    match = re.match(r"([#!]?)([A-Za-z_]\w*|[0-9@*#?])(\[[^\]]*\])?(.*)$", inside, re.DOTALL)
    if match is None:
        return ""
    sign, name, index, rest = match.groups()
    many = variables.many(name)
    if sign == "#":
        return str(len(many) if index and many is not None else len(variables.text(name)))
    if index in ("[@]", "[*]") or (name in "@*" and not rest):
        return many if many is not None else ([variables.text(name)] if variables.text(name) else [])
    if index and many is not None:
        position = _number(index[1:-1], variables)
        value = many[position] if -len(many) <= position < len(many) else ""
    else:
        known = name in variables.values or name in variables.lists or not name.isidentifier()
        value = variables.text(name) if known or not rest.startswith((":-", "-", ":=", "=", ":+", "+")) else ""
    return _changed(value, rest, variables)


def _changed(value: str, rest: str, variables: Variables) -> str:
    if default := re.match(r":?[-=](.*)$", rest, re.DOTALL):
        return value or " ".join(words_of(default[1], variables))
    if other := re.match(r":?\+(.*)$", rest, re.DOTALL):
        return " ".join(words_of(other[1], variables)) if value else ""
    if cut := re.match(r"(%%?|##?)(.*)$", rest):
        return _cut(value, cut[1], cut[2])
    if swap := re.match(r"(//?)([^/]*)/?(.*)$", rest):
        return value.replace(swap[2], swap[3], -1 if swap[1] == "//" else 1) if swap[2] else value
    return value


def _cut(value: str, kind: str, pattern: str) -> str:
    """Without the shortest or longest end (%, %%) or beginning (#, ##) of a pattern of literals and `*`."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    places = range(len(value) + 1)
    if kind[0] == "%":
        order = reversed(places) if kind == "%" else places
        return next((value[:at] for at in order if re.fullmatch(expression, value[at:], re.DOTALL)), value)
    order = places if kind == "#" else reversed(places)
    return next((value[at:] for at in order if re.fullmatch(expression, value[:at], re.DOTALL)), value)


_ARITHMETIC: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.floordiv,
    ast.Mod: operator.mod,
}


def _number(text: str, variables: Variables) -> int:
    """The value of an arithmetic expression, 0 where it is none."""
    plain = " ".join(words_of(text, variables))
    plain = re.sub(r"[A-Za-z_]\w*", lambda name: variables.text(name[0]) or "0", plain)
    try:
        return _evaluated(ast.parse(plain.strip() or "0", mode="eval").body)
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, MemoryError):
        return 0


def _evaluated(node: ast.expr) -> int:
    match node:
        case ast.Constant(value=int(value)):
            return value
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
            value = _ARITHMETIC[type(op)](_evaluated(left), _evaluated(right))
            if abs(value) > 10**15:
                raise ValueError(value)
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_evaluated(operand)
    raise ValueError(ast.dump(node))


def printed(command: str, variables: Variables) -> str:
    """What a command in `$(...)` would print, where that is known; "" for what is nested too deeply."""
    if variables.depth >= _DEEPEST:
        return ""
    variables.depth += 1
    try:
        return _printed(command, variables)
    finally:
        variables.depth -= 1


def _printed(command: str, variables: Variables) -> str:
    if "nvidia-smi" in command or "rocm-smi" in command:
        return str(variables.gpus)
    result = ""
    for part in split_commands(command):
        words = words_of(part, variables)
        name, rest = (words[0], words[1:]) if words else ("", [])
        if name in ("dirname", "basename") and rest:
            result = getattr(posixpath, name)(rest[-1]) or "."
        elif name == "cd" and rest:
            result = rest[-1]
        elif name == "pwd":
            result = posixpath.normpath(posixpath.join(JOB, variables.folder, result))
        elif name in ("realpath", "readlink") and rest:
            result = posixpath.normpath(posixpath.join(JOB, variables.folder, rest[-1]))
        elif name in ("echo", "printf"):
            result = " ".join(rest)
        elif name in _KNOWN:
            result = _KNOWN[name]
        elif name == "seq" and rest and all(word.lstrip("-").isdigit() for word in rest):
            first, last = (int(rest[0]), int(rest[-1])) if len(rest) > 1 else (1, int(rest[0]))
            result = " ".join(map(str, range(first, min(last, first + 999) + 1)))
        elif name not in ("head", "tail", "tr", "cut", "sed", "awk", "grep", "wc", "sort"):
            variables.unknown[f"$({command})"] = None
    return result


_KNOWN = {
    "nproc": "1",
    "hostname": "localhost",
    "whoami": "user",
    "date": "0",
    "scontrol": "localhost",
    "uname": "Linux",
}

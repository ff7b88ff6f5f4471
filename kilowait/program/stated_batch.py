"""Where a program states its batch size, and the same program with another.

An option that it declares, a word of its arguments, a constant of its entrypoint, or a line of a configuration file of
its own, in this order. Not covered: batch sizes that are computed, and those of evaluation alone.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TypeGuard

from kilowait.program.effect import arguments_in_effect, declaring
from kilowait.program.job_source import JobSource

_NAME = re.compile(
    r"(?:(?:per_device|per_gpu|train|training|micro|mini|local|global)_)*"
    r"(?:mini|micro)?(?:batch_?size|batch|bs|bsz)(?:_per_(?:gpu|device))?"
)
_LINE = re.compile(r"^(\s*[\"']?)([\w.-]+)([\"']?\s*[:=]\s*)(\d+)(?=\s*(?:[,;#}]|$))", re.MULTILINE)
_CONFIGURATION = (".yaml", ".yml", ".json", ".toml", ".ini", ".cfg")


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedBatch:
    """A batch size, what states it, in words, and `flag`, `word` or `path` with the name that is to be changed."""

    size: int
    how: str
    name: str
    flag: str = ""
    path: str = ""


def stated_batch(source: JobSource) -> StatedBatch | None:
    """What the program says of its batch size in training, None where it says nothing that is found."""
    return _of_option(source) or _of_word(source) or _of_constant(source) or _of_configuration(source)


def with_batch(source: JobSource, stated: StatedBatch, size: int) -> JobSource:
    """The program with another batch size; `stated` is what `stated_batch` found in it."""
    if stated.flag:
        return replace(source, arguments=(*source.arguments, stated.flag, str(size)))
    if not stated.path:
        words = (_reworded(word, stated, size) for word in _pairs(source.arguments))
        return replace(source, arguments=tuple(part for word in words for part in word))
    text = source.files[stated.path].decode("utf-8-sig")
    change = _with_constant if stated.path == source.entrypoint else _with_line
    return replace(source, files={**source.files, stated.path: change(text, stated, size).encode()})


def _is_batch(name: str) -> bool:
    return _NAME.fullmatch(name.lower().replace("-", "_").rpartition(".")[2]) is not None


def _is_size(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _of_option(source: JobSource) -> StatedBatch | None:
    effect = arguments_in_effect(source)
    for option in declaring(source)[1]:
        value = effect[option.dest].value if option.dest in effect else None
        if option.flags and _is_batch(option.dest) and _is_size(value):
            flag = max(option.flags, key=len)
            return StatedBatch(size=value, how=f"{flag} {value}", name=option.dest, flag=flag)
    return None


def _of_word(source: JobSource) -> StatedBatch | None:
    for name, _, value in map(_taken_apart, _pairs(source.arguments)):
        if _is_batch(name.lstrip("-+")) and value.isdigit() and int(value):
            return StatedBatch(size=int(value), how=f"argument {name} {value}", name=name)
    return None


def _pairs(words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Words of the command line, a flag with the number behind it."""
    index = 0
    while index < len(words):
        size = 2 if words[index].startswith("-") and index + 1 < len(words) and words[index + 1].isdigit() else 1
        yield words[index : index + size]
        index += size


def _taken_apart(pair: tuple[str, ...]) -> tuple[str, str, str]:
    return (pair[0], "", pair[1]) if len(pair) == 2 else pair[0].partition("=")


def _reworded(pair: tuple[str, ...], stated: StatedBatch, size: int) -> tuple[str, ...]:
    name, equals, _ = _taken_apart(pair)
    if name != stated.name:
        return pair
    return (f"{name}={size}",) if equals else (name, str(size))


def _of_constant(source: JobSource) -> StatedBatch | None:
    for name, constant in _constants(source.files[source.entrypoint].decode("utf-8-sig")):
        how = f"{name} = {constant.value!r} in {source.entrypoint}, line {constant.lineno}"
        return StatedBatch(size=int(str(constant.value)), how=how, name=name, path=source.entrypoint)
    return None


def _constants(text: str) -> Iterator[tuple[str, ast.Constant]]:
    """Batch sizes that are assigned, then those of calls and dictionaries."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, RecursionError, MemoryError):
        return
    assigned = [node for node in nodes if isinstance(node, (ast.Assign, ast.AnnAssign))]
    for node in [*assigned, *(node for node in nodes if isinstance(node, (ast.keyword, ast.Dict)))]:
        for name, value in _named(node):
            if _is_batch(name) and isinstance(value, ast.Constant) and _is_size(value.value):
                yield name, value


def _named(node: ast.AST) -> list[tuple[str, ast.AST | None]]:
    match node:
        case ast.Assign(targets=[target], value=value) | ast.AnnAssign(target=target, value=value):
            return [(ast.unparse(target), value)]
        case ast.keyword(arg=str(name), value=value):
            return [(name, value)]
        case ast.Dict(keys=keys, values=values):
            pairs = zip(keys, values, strict=True)
            return [(str(key.value), value) for key, value in pairs if isinstance(key, ast.Constant)]
    return []


def _with_constant(text: str, stated: StatedBatch, size: int) -> str:
    """Every constant of that name and size replaced, from the end so that places stay."""
    found = [value for name, value in _constants(text) if name == stated.name and value.value == stated.size]
    lines = [line.encode() for line in text.splitlines(keepends=True)]
    for value in sorted(found, key=lambda value: (value.lineno, value.col_offset), reverse=True):
        line = lines[value.lineno - 1]
        lines[value.lineno - 1] = line[: value.col_offset] + str(size).encode() + line[value.end_col_offset :]
    return b"".join(lines).decode()


def _of_configuration(source: JobSource) -> StatedBatch | None:
    for path in sorted(source.files):
        if path.endswith(_CONFIGURATION):
            for match in _LINE.finditer(source.files[path].decode("utf-8-sig")):
                if _is_batch(match[2]) and int(match[4]):
                    how = f"{match[2]} {match[4]} in {path}"
                    return StatedBatch(size=int(match[4]), how=how, name=match[2], path=path)
    return None


def _with_line(text: str, stated: StatedBatch, size: int) -> str:
    def line(match: re.Match[str]) -> str:
        same = match[2] == stated.name and int(match[4]) == stated.size
        return f"{match[1]}{match[2]}{match[3]}{size}" if same else match[0]

    return _LINE.sub(line, text)

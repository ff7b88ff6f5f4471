"""Shell scripts followed to the program that they start; the last start of Python is the job's.

Read without running anything: assignments, `cd`, `source` of files that are there, conditions whose two sides are
known, the first turn of a loop. A branch that cannot be decided is read, and so is the other.

Not covered: `case`, arrays by index assignment, functions with arguments of their own, traps.
"""

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from kilowait.core.errors import SourceError
from kilowait.program.launch.accelerate import ReadText
from kilowait.program.launch.batch_head import BatchHead, batch_head
from kilowait.program.launch.command import Surroundings, follow
from kilowait.program.launch.known_commands import SHELL_SCRIPTS, SHELLS
from kilowait.program.launch.shell_text import commands
from kilowait.program.launch.shell_variables import JOB, Variables
from kilowait.program.launch.shell_words import words_of
from kilowait.program.launch.start import Start

_DEEPEST = 5
"""Scripts that start scripts."""
_MOST_COMMANDS = 5_000
_NOT_TRAINING = re.compile(r"(^|[/_.-])(setup|download|prepare|preprocess|tokenize|install|convert)[^/]*$")
_OPENING = ("then", "else", "do", "{", "(", "!", "time")
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)(\+?)=(.*)$", re.DOTALL)
_LIST = re.compile(r"(?:(?:export|declare|local|readonly)\s+(?:-\w+\s+)*)?([A-Za-z_]\w*)(\+?)=\((.*)\)$", re.DOTALL)
_LOOP = re.compile(r"for\s+(\w+)\s+in\s+(.*)$", re.DOTALL)


class NothingStartedError(SourceError):
    """A script that starts no program of Python, as far as it can be followed."""


@dataclass(slots=True, kw_only=True)
class ShellScript:
    """One script while it is read: `starts` are (line, start) in order."""

    read: ReadText
    variables: Variables
    environment: dict[str, str] = field(default_factory=dict)
    head: BatchHead | None = None
    depth: int = _DEEPEST
    starts: list[tuple[str, Start]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    branches: list[bool | None] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    count: int = 0


def follow_script(path: str, text: str, arguments: Sequence[str], read: ReadText) -> Start:
    """The start that a script comes to; `read` gives files by their path relative to the job's folder.

    Raises SourceError, naming the script, above a bound, and NothingStartedError where it starts none.
    """
    script = ShellScript(read=read, variables=Variables(arguments=tuple(arguments), script=path))
    _run(script, path, text)
    if not script.starts:
        raise NothingStartedError(
            f"{path}: it starts no program of Python that can be found; give the program: kilowait predict train.py"
        )
    return _chosen(script, path)


def follow_words(words: Sequence[str], read: ReadText) -> Start | None:
    """The start that the words of one command come to, None where they start no program of Python."""
    script = ShellScript(read=read, variables=Variables())
    _start(script, "the command", list(words))
    return script.starts[-1][1] if script.starts else None


def _chosen(script: ShellScript, path: str) -> Start:
    """The last start, before those whose names say that they only prepare."""
    training = [pair for pair in script.starts if not _NOT_TRAINING.search(pair[1].program.removesuffix(".py"))]
    where, start = (training or script.starts)[-1]
    others = [f"{other.program} ({place})" for place, other in script.starts if other is not start]
    notes = list(start.notes) + script.notes
    if others:
        shown = ", ".join(dict.fromkeys(others[:5]))
        notes.append(f"{path} starts {start.program} ({where}), which is predicted, and {shown}, which is not")
    if script.head and script.head.limit:
        notes.append(f"Slurm ends it after {script.head.limit}")
    beside = (*start.beside, *(f"{place}: {other.program}" for place, other in script.starts if other is not start))
    head = script.head
    words = (*(head.words if head else ()), *start.words)
    gpus = max(start.gpus, head.gpus_per_node * head.nodes if head else 0)
    return replace(start, notes=tuple(dict.fromkeys(notes)), words=words, gpus=gpus, beside=beside)


def _run(script: ShellScript, path: str, text: str) -> None:
    if script.depth == 0:
        raise SourceError(f"{path}: scripts that start scripts, deeper than {_DEEPEST}; give the inner one")
    head = batch_head(text)
    if head is not None and script.head is None:
        script.head = head
        script.variables.values.update(head.environment)
        script.environment.update(head.environment)
        script.variables.gpus = head.gpus_per_node or 1
    for line, command in commands(text):
        script.count += 1
        if script.count > _MOST_COMMANDS:
            raise SourceError(f"{path}: more than {_MOST_COMMANDS:,} commands; give the program itself")
        _command(script, f"{path} line {line}", command)


def _command(script: ShellScript, where: str, command: str) -> None:
    command = re.sub(r"^(function\s+)?[\w-]+\s*\(\)\s*\{?", "", command).strip()
    first, _, rest = command.partition(" ")
    while first in _OPENING:
        _branch(script, first)
        command = rest.strip()
        first, _, rest = command.partition(" ")
    if first in ("if", "elif", "else", "fi", "while", "until", "case", "esac", "done", "}", ")", ""):
        _control(script, first, rest)
        return
    if first == "for":
        script.loops.append(f"{where}: a loop of an unknown number of runs")
    if False in script.branches:
        return
    if loop := _LOOP.match(command):
        values = words_of(loop[2], script.variables)
        script.variables.values[loop[1]] = values[0] if values else ""
        script.loops[-1] = (
            "" if len(values) == 1 else f"{where}: a loop of {len(values) or 'an unknown number of'} runs"
        )
        if len(values) > 1:
            script.notes.append(f"{where}: a loop of {len(values)} runs, of which one is predicted")
        return
    if first == "for":
        return
    _simple(script, where, command.lstrip("(").strip() if command.startswith("(") else command)


def _branch(script: ShellScript, word: str) -> None:
    if word == "else" and script.branches and script.branches[-1] is not None:
        script.branches[-1] = not script.branches[-1]


def _control(script: ShellScript, word: str, rest: str) -> None:
    if word == "if":
        script.branches.append(_holds(rest, script.variables))
    elif word == "elif" and script.branches:
        before = script.branches[-1]
        script.branches[-1] = False if before else (None if before is None else _holds(rest, script.variables))
    elif word == "else":
        _branch(script, word)
    elif word == "fi" and script.branches:
        script.branches.pop()
    elif word in ("while", "until"):
        script.loops.append(f"a loop that runs {word} {rest[:40].strip()}")
    elif word == "done" and script.loops:
        script.loops.pop()


_COMPARED: dict[str, Callable[[str, str], bool]] = {
    "=": lambda a, b: a == b,
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "-eq": lambda a, b: int(a) == int(b),
    "-ne": lambda a, b: int(a) != int(b),
    "-gt": lambda a, b: int(a) > int(b),
    "-ge": lambda a, b: int(a) >= int(b),
    "-lt": lambda a, b: int(a) < int(b),
    "-le": lambda a, b: int(a) <= int(b),
}


def _holds(condition: str, variables: Variables) -> bool | None:
    """Whether a test of texts or numbers is true, None where that is not known."""
    words = words_of(condition, variables)
    if not words or words[0] not in ("[", "[[", "test"):
        return None
    inner = [word for word in words[1:] if word not in ("]", "]]")]
    negated = inner[:1] == ["!"]
    inner = inner[negated:]
    held: bool | None = None
    if len(inner) <= 2 and inner and inner[0] in ("-z", "-n"):
        held = (len(inner) == 1 or not inner[1]) == (inner[0] == "-z")
    elif len(inner) == 3 and inner[1] in _COMPARED:
        try:
            held = _COMPARED[inner[1]](inner[0], inner[2])
        except ValueError:
            held = None
    return None if held is None else held != negated


def _simple(script: ShellScript, where: str, command: str) -> None:
    variables = script.variables
    if listed := _LIST.match(command):
        values = words_of(listed[3], variables)
        variables.lists[listed[1]] = (variables.lists.get(listed[1], []) if listed[2] else []) + values
        return
    words = words_of(command, variables)
    if not words:
        return
    name, rest = words[0], words[1:]
    if name in ("export", "declare", "local", "readonly", "typeset"):
        _assign(script, [word for word in rest if not word.startswith("-")], export=name in ("export", "declare"))
    elif all(_ASSIGNMENT.match(word) for word in words):
        _assign(script, words, export=False)
    elif name == "cd" and rest:
        variables.folder = _relative(rest[0], variables.folder)
    elif name in ("source", ".") and rest:
        _source(script, rest)
    else:
        _start(script, where, words)


def _assign(script: ShellScript, words: Sequence[str], *, export: bool) -> None:
    for word in words:
        match = _ASSIGNMENT.match(word)
        name = match[1] if match else word
        if match:
            before = script.variables.values.get(name, "") if match[2] else ""
            script.variables.values[name] = before + match[3]
        if name in script.variables.values and (export or name in script.environment):
            script.environment[name] = script.variables.values[name]


def _relative(path: str, folder: str) -> str:
    """A path as seen from the job's folder."""
    if path == JOB or path.startswith(JOB + "/"):
        return posixpath.normpath(path[len(JOB) + 1 :] or ".")
    return path if posixpath.isabs(path) else posixpath.normpath(posixpath.join(folder, path))


def _source(script: ShellScript, words: Sequence[str]) -> None:
    path = _relative(words[0], script.variables.folder)
    text = script.read(path) if not path.endswith("activate") else None
    if text is not None:
        script.depth -= 1
        _run(script, path, text)
        script.depth += 1


def _start(script: ShellScript, where: str, words: list[str]) -> None:
    folder, variables = script.variables.folder, script.variables
    around = Surroundings(
        environment=dict(script.environment),
        gpus_per_node=script.head.gpus_per_node if script.head else 0,
        nodes=script.head.nodes if script.head else 1,
        read=lambda path: script.read(_relative(path, folder)),
        script=lambda inner, there: _inner(script, inner, there),
    )
    variables.unknown.clear()
    start = follow(words, around)
    if start is None:
        return
    program = start.program if start.is_module else _relative(start.program, ".")
    folder = start.folder if start.folder != "." else folder
    arguments = tuple(_unjobbed(word) for word in start.arguments)
    beside = (*start.beside, *filter(None, script.loops))
    start = replace(start, program=program, folder=folder, arguments=arguments, beside=beside)
    script.starts.append((where, start))


def _unjobbed(word: str) -> str:
    """An argument without the folder that only stands for the job's."""
    return re.sub(rf"(^|[=,]){JOB}(/|$)", lambda m: m[1] + ("" if m[2] == "/" else "."), word)


def _inner(script: ShellScript, words: list[str], around: Surroundings) -> Start | None:
    """`bash run.sh ...`, `bash -c "..."`, `./run.sh ...` and `sbatch job.sbatch`, read as a script of their own."""
    if words[0].rpartition("/")[2] in SHELLS:
        words = words[1:]
        while words and words[0].startswith("-") and words[0] != "-c" and not words[0].endswith("c"):
            words = words[1:]
    if not words:
        return None
    if words[0].startswith("-"):
        path, text, arguments = script.variables.script, words[1] if len(words) > 1 else "", words[3:]
    elif words[0].endswith(SHELL_SCRIPTS) or "/" in words[0] or "." in words[0]:
        path = _relative(words[0], script.variables.folder)
        text, arguments = script.read(path) or "", words[1:]
    else:
        return None
    variables = Variables(
        values={**script.variables.values, **around.environment},
        arguments=tuple(arguments),
        script=path,
        folder=script.variables.folder,
        gpus=around.gpus_per_node or script.variables.gpus,
    )
    inner = ShellScript(
        read=script.read,
        variables=variables,
        environment=dict(around.environment),
        head=script.head,
        depth=script.depth - 1,
    )
    _run(inner, path, text)
    return _chosen(inner, path) if inner.starts else None

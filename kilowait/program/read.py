"""Reading a job's source from where it is: a file, a folder, a zip, standard input.

One file alone may be any text, in any language: nothing is looked for beside it. In a folder or a zip the entrypoint
is Python, its syntax must be right, and every local import must be there.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from kilowait.core.errors import SourceError
from kilowait.program import limits
from kilowait.program.effect import arguments_refused
from kilowait.program.job_source import JobSource, check_arguments, check_path
from kilowait.program.launch.followed import (
    Followed,
    follow_command,
    follow_notebook,
    follow_shell,
    is_script,
    names_notebook,
)
from kilowait.program.launch.shell import NothingStartedError
from kilowait.program.launch.start import Start
from kilowait.program.launchers import Rank, read_words
from kilowait.program.reach import reach
from kilowait.program.source import read_data, source_from_bytes, text_of
from kilowait.program.tree import Tree, folder_tree, zip_tree


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReading:
    """A job's source as it was read: where from, what was left out and why, what it takes as installed.

    `notes` say what its text may lack: an import that is not followed, a file that was not given. `command` are the
    words by which a launcher starts it, `beside` what else the same script takes its time with.
    """

    name: str
    source: JobSource
    left_out: Mapping[str, str] = field(default_factory=dict)
    installed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """What GPUs are read from beside the texts: the command that starts the program, or its arguments alone."""
        return self.command or self.source.arguments


def read_file(path: Path | str, arguments: Sequence[str] = ()) -> JobReading:
    """One script alone, or the program that a shell script or notebook comes to.

    Raises SourceError, naming the path, when it cannot be read or used.
    """
    path = Path(path)
    if path.is_dir():
        raise SourceError(f"{path}: a folder; say which file starts it, such as --entrypoint train.py {path}")
    if path.suffix.lower() == ".zip":
        raise SourceError(f"{path}: a zip; say which file starts it, such as --entrypoint train.py {path}")
    data = read_data(path, max_bytes=_most_bytes(path))
    why: tuple[str, ...] = ()
    try:
        if (followed := _followed(path, data, arguments)) is not None:
            return read_followed(followed, f"{path}: {followed.entrypoint}", arguments)
    except NothingStartedError as error:
        why = (f"{error}; read as a text",)
    reading = read_bytes(str(path), data, arguments)
    reading = replace(reading, notes=(*reading.notes, *why))
    advice = f"is beside it and not read; give the folder: --entrypoint {path.name} {path.parent}"
    beside = (f"{name} {advice}" for name in _beside(path.parent, reading.installed, arguments))
    return replace(reading, notes=(*reading.notes, *beside))


def _most_bytes(path: Path) -> int:
    return limits.MAX_NOTEBOOK_BYTES if path.suffix.lower() == ".ipynb" else limits.MAX_FILE_BYTES


def _followed(path: Path, data: bytes, arguments: Sequence[str]) -> Followed | None:
    """What a shell script or a notebook comes to, None for any other file."""
    text = data.decode("utf-8-sig", "replace")
    if path.suffix.lower() == ".py":
        return None
    if names_notebook(path.name, text):
        return follow_notebook(path, text_of(str(path), data, max_bytes=limits.MAX_NOTEBOOK_BYTES))
    return follow_shell(path, text_of(str(path), data), arguments) if is_script(path.name, text) else None


def _total(start: Start) -> tuple[str, ...]:
    """How many GPUs a start takes in all, in words as they are read, where its own words say fewer."""
    gpus = max(start.gpus, start.processes)
    said = max((r.gpus or 1 for r in read_words(start.words, Rank.COMMAND_LINE, "")), default=1)
    return ("--gpu_count", str(gpus)) if gpus > said else ()


def read_command(words: Sequence[str], folder: Path | str = ".") -> JobReading:
    """The job that a command starts in a folder; raises SourceError where it starts no program of Python."""
    followed = follow_command(words, Path(folder))
    start = followed.start
    return read_followed(followed, " ".join(start.words[: len(start.words) - len(start.arguments)]))


def read_followed(followed: Followed, name: str, arguments: Sequence[str] = ()) -> JobReading:
    """The program that was found, with the files that it reaches, its arguments and its environment."""
    start = followed.start
    given = start.arguments if start.words else tuple(arguments)
    reading = read_tree(followed.tree, followed.entrypoint, given)
    environment = {key: value for key, value in start.environment.items() if key.isidentifier()}
    source = reading.source.within(environment, start.folder)
    notes = (*reading.notes, *start.notes)
    return replace(
        reading, name=name, source=source, notes=notes, command=(*start.words, *_total(start)), beside=start.beside
    )


def _beside(folder: Path, modules: Sequence[str], arguments: Sequence[str]) -> list[str]:
    """What a folder would add to a script alone: local modules, and configuration that the arguments name."""
    local_modules = [
        module
        for module in modules
        if any((folder / file).is_file() for file in (f"{module}.py", f"{module}/__init__.py"))
    ]
    words = [word.partition("=")[2] or word for word in arguments]
    return local_modules + [w for w in words if w.endswith(limits.CONFIGURATION) and (folder / w).is_file()]


def read_stdin(arguments: Sequence[str] = ()) -> JobReading:
    """One script from standard input."""
    return read_bytes("stdin", sys.stdin.buffer.read(limits.MAX_FILE_BYTES + 1), arguments)


def read_bytes(name: str, data: bytes, arguments: Sequence[str] = ()) -> JobReading:
    """One script whose bytes are at hand; raises SourceError for what `kilowait.program.source` refuses."""
    source_from_bytes(name, data)
    entrypoint = _plain(Path(name).name)
    source = JobSource(files={entrypoint: data}, entrypoint=entrypoint, arguments=tuple(arguments))
    reached = source.reached
    notes = (*reached.problems, *reached.notes, *_refused(source))
    return JobReading(name=name, source=source, installed=tuple(reached.installed), notes=notes)


def _plain(name: str) -> str:
    """The file's name, or another where no schema can carry it: for a script alone the name means nothing."""
    try:
        check_path(name)
    except SourceError:
        return "script.py"
    return name


def read_folder(folder: Path | str, entrypoint: str, arguments: Sequence[str] = ()) -> JobReading:
    """What `entrypoint`, a path relative to `folder`, reaches there; raises SourceError for what is refused."""
    return read_tree(folder_tree(Path(folder)), entrypoint, arguments)


def read_zip(path: Path | str, entrypoint: str, arguments: Sequence[str] = ()) -> JobReading:
    """What `entrypoint`, a path inside the zip, reaches in it; raises SourceError for what is refused."""
    return read_tree(zip_tree(Path(path)), entrypoint, arguments)


def read_program(path: Path | str, entrypoint: str, arguments: Sequence[str] = ()) -> JobReading:
    """A folder or a zip, whichever `path` is."""
    path = Path(path)
    if path.is_dir():
        return read_folder(path, entrypoint, arguments)
    if not path.is_file():
        raise SourceError(f"{path}: cannot be read: no such folder or zip")
    return read_zip(path, entrypoint, arguments)


def read_tree(tree: Tree, entrypoint: str, arguments: Sequence[str] = ()) -> JobReading:
    """What `entrypoint` reaches in `tree`."""
    check_arguments(arguments)
    check_path(entrypoint)
    if entrypoint not in tree.sizes and entrypoint not in tree.unusable:
        raise SourceError(f"{tree.name}: no {entrypoint} in it{_hint(tree, entrypoint)}")
    if not entrypoint.endswith(".py"):
        raise SourceError(f"{tree.name}: the entrypoint {entrypoint} is no Python file (.py)")
    reached = reach(tree, entrypoint, arguments)
    if reached.problems:
        raise SourceError(f"{tree.name}: " + "; ".join(reached.problems))
    source = JobSource.of(reached, entrypoint, arguments)
    return JobReading(
        name=f"{tree.name}/{entrypoint}",
        source=source,
        left_out=reached.left_out,
        installed=tuple(reached.installed),
        notes=(*reached.notes, *_refused(source)),
    )


def _refused(source: JobSource) -> list[str]:
    reason = arguments_refused(source) if source.arguments else ""
    return [f"the arguments would be refused: {reason}"] if reason else []


def _hint(tree: Tree, entrypoint: str) -> str:
    matches = [path for path in sorted(tree.sizes) if path.rpartition("/")[2] == entrypoint.rpartition("/")[2]]
    return f"; did you mean {matches[0]}?" if matches else "; the entrypoint is a path relative to it"

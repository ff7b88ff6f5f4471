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
from kilowait.program.reach import reach
from kilowait.program.source import read_data, source_from_bytes
from kilowait.program.tree import Tree, folder_tree, zip_tree


@dataclass(frozen=True, slots=True, kw_only=True)
class JobReading:
    """A job's source as it was read: where from, what was left out and why, what it takes as installed.

    `notes` say what its text may lack: an import that is not followed, a file that was not given.
    """

    name: str
    source: JobSource
    left_out: Mapping[str, str] = field(default_factory=dict)
    installed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def read_file(path: Path | str, arguments: Sequence[str] = ()) -> JobReading:
    """One script alone; raises SourceError, naming the path, when it cannot be read or used."""
    path = Path(path)
    if path.is_dir():
        raise SourceError(f"{path}: a folder; say which file starts it, such as --entrypoint train.py {path}")
    if path.suffix.lower() == ".zip":
        raise SourceError(f"{path}: a zip; say which file starts it, such as --entrypoint train.py {path}")
    reading = read_bytes(str(path), read_data(path), arguments)
    advice = f"is beside it and not read; give the folder: --entrypoint {path.name} {path.parent}"
    beside = (f"{name} {advice}" for name in _beside(path.parent, reading.installed, arguments))
    return replace(reading, notes=(*reading.notes, *beside))


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

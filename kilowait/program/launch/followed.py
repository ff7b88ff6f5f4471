"""A command, shell script or notebook read as a job: the program that it comes to, with the files that this reaches."""

import posixpath
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

from kilowait.core.errors import SourceError
from kilowait.program import limits
from kilowait.program.launch.known_commands import SHELL_SCRIPTS
from kilowait.program.launch.notebook import is_notebook, notebook_code
from kilowait.program.launch.shell import follow_script, follow_words
from kilowait.program.launch.start import Start
from kilowait.program.source import read_data, text_of
from kilowait.program.tree import Tree, folder_tree

_SHELL_LINE = ("sh", "bash", "zsh", "dash", "ksh")


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """A start and where its files are: `tree`, and the entrypoint in it."""

    start: Start
    tree: Tree
    entrypoint: str


def is_script(name: str, text: str) -> bool:
    """Whether a file is one for a shell: by its name or its first line."""
    first = text.split("\n", 1)[0]
    interpreter = first.removeprefix("#!").split()
    named = [PurePosixPath(word).name for word in interpreter]
    return name.lower().endswith(SHELL_SCRIPTS) or (first.startswith("#!") and any(n in _SHELL_LINE for n in named))


def follow_command(words: Sequence[str], folder: Path) -> Followed:
    """The job that a command starts in `folder`; raises SourceError where it starts no program of Python."""
    start = follow_words(words, lambda path: _text(folder, path))
    if start is None:
        raise SourceError(f"{' '.join(words)[:200]}: starts no program of Python that can be found")
    return _located(start, (folder,), " ".join(words)[:80])


def follow_shell(path: Path, text: str, arguments: Sequence[str]) -> Followed:
    """The job that a shell script starts, given where it is or in the folder from which it was named."""
    here, beside = Path.cwd().resolve(), path.resolve().parent
    folders = (here, beside, *beside.parents[:2]) if beside.is_relative_to(here) else (beside, *beside.parents[:1])
    errors = []
    for folder in dict.fromkeys(folders):
        name = path.resolve().relative_to(folder).as_posix()
        start = follow_script(name, text, arguments, partial(_text, folder))
        try:
            return _located(start, (folder,), str(path))
        except SourceError as error:
            errors.append(error)
    raise errors[0]


def follow_notebook(path: Path, text: str) -> Followed:
    """The job that a notebook is, beside the modules of its folder."""
    code = notebook_code(str(path), text).encode()
    tree, name = folder_tree(path.resolve().parent), f"{path.stem}.py".replace(" ", "_")
    if name in tree.sizes:
        name = f"{name.removesuffix('.py')}_notebook.py"
    return Followed(start=Start(program=name), tree=_with(tree, {name: code}), entrypoint=name)


def entrypoint_in(start: Start, paths: Container[str]) -> str | None:
    """Which of these files the start is of, None where it is none of them."""
    return next((path for path in _candidates(start) if path in paths), None)


def _with(tree: Tree, files: Mapping[str, bytes]) -> Tree:
    sizes = {**tree.sizes, **{path: len(data) for path, data in files.items()}}
    return replace(tree, sizes=sizes, read=lambda path, most: files[path] if path in files else tree.read(path, most))


def _text(folder: Path, path: str) -> str | None:
    """A small text below the folder, None for anything else."""
    full = (folder / path).resolve()
    if not full.is_relative_to(folder.resolve()) or not full.is_file():
        return None
    try:
        return text_of(path, read_data(full), max_bytes=limits.MAX_FILE_BYTES)
    except SourceError:
        return None


def _located(start: Start, folders: Sequence[Path], name: str) -> Followed:
    """The start with its program's file; raises SourceError, naming the file, where it is not there."""
    candidates = list(_candidates(start))
    for folder in folders:
        for entrypoint in candidates:
            if (folder / entrypoint).is_file():
                tree, relative, working = _rooted(folder, entrypoint, start.folder)
                return Followed(start=replace(start, folder=working), tree=tree, entrypoint=relative)
    raise SourceError(f"{name}: it starts {start.program}, and {candidates[0]} is not in {folders[0]}")


def _candidates(start: Start) -> list[str]:
    """The paths that may hold the program, the likely one first."""
    if start.is_module:
        path = posixpath.normpath(posixpath.join(start.folder, start.program.replace(".", "/")))
        return [f"{path}.py", f"{path}/__main__.py", f"src/{path}.py"]
    joined = posixpath.normpath(posixpath.join(start.folder, start.program))
    return list(dict.fromkeys([joined, posixpath.normpath(start.program)]))


def _rooted(folder: Path, entrypoint: str, working: str) -> tuple[Tree, str, str]:
    """The tree, the entrypoint in it, the working folder in it; a folder with too many files is left for a smaller."""
    full = (folder / entrypoint).resolve()
    start = (folder / working).resolve()
    root = folder.resolve() if full.is_relative_to(folder.resolve()) else full.parent
    try:
        tree = folder_tree(root)
    except SourceError:
        root = full.parent
        tree = folder_tree(root)
    inside = start.relative_to(root).as_posix() if start.is_relative_to(root) else "."
    return tree, full.relative_to(root).as_posix(), inside


def names_notebook(name: str, text: str) -> bool:
    """Whether a file is a notebook, by its name or what is in it."""
    return name.lower().endswith(".ipynb") or is_notebook(text)

"""What a dry run may use of the machine beside the program itself: data to read, and the Python it runs under.

It depends on who asks and where, so it is no part of a job's source; predictions are remembered by both.
"""

import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.predict.interpreter import Interpreter
from kilowait.program.job_source import JobSource

MOST_NAMED, MOST_SHOWN = 2_000, 64
"""Words that are looked at in arguments and configuration, and paths that are shown because of them."""
NEVER = ("/", "/boot", "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/tmp", "/usr", "/var", "/scratch")
"""Nobody means a whole one of them when an argument names it."""
SYSTEM = ("/proc/", "/sys/", "/dev/", "/etc/")
_WORD = re.compile(r"[^\s\"',;:=\[\]{}()<>|]{1,400}")
_QUOTED = re.compile(r"[\"']([^\"'\n]{1,400})[\"']")
_OUTPUT = (
    r"(?:[\w.]*[_.-])?(?:out|outputs?|logs?|logging|save|results?|tensorboard)[_-](?:dir|directory|folder|path|root)"
)
_PLACE = r"([^\s\"',;:=\[\]{}()<>|]{1,400})"
_TOLD = rf"(?<![\w$]){_OUTPUT}[\"']?\s*(?::\s*\w+\s*=|[:=])\s*(?:Path\()?"
_WRITTEN_IN_CODE = (
    re.compile(rf"{_TOLD}[\"']{_PLACE}", re.IGNORECASE),
    re.compile(rf"--{_OUTPUT}[\"'][^()]{{0,400}}?\bdefault\s*=\s*[\"']{_PLACE}", re.IGNORECASE),
)
_WRITTEN_ELSEWHERE = (
    re.compile(rf"{_TOLD}[\"']?{_PLACE}", re.IGNORECASE),
    re.compile(rf"--{_OUTPUT}\s+[\"']?{_PLACE}", re.IGNORECASE),
)
"""What a name says is written to: `--output_dir runs`, `log_path: runs`, `out_dir = "runs"`, an option's default."""
UP = 2
"""So many folders above its own has a program of its own in a dry run."""


@dataclass(frozen=True, kw_only=True)
class DryRunAccess:
    """`data` are paths of this machine that are seen read-only under their own names.

    `here` are others by the relative name under which the program finds them; `hidden` is covered wherever something
    else would show it; `environment` says where caches are; `interpreter` is the job's, None for whoever runs it.
    `assumed` are sizes of what is not there, by name, as they were written; `place` says where the program lies.
    """

    data: tuple[str, ...] = ()
    here: tuple[tuple[str, str], ...] = ()
    hidden: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    interpreter: Interpreter | None = None
    assumed: tuple[tuple[str, str], ...] = ()
    place: str = ""


NOTHING = DryRunAccess()


def of_caller(
    source: JobSource, root: Path | None, folders: Sequence[str], variables: Mapping[str, str]
) -> DryRunAccess:
    """What whoever calls from a shell may have read: `folders`, what arguments and configuration name, and caches.

    `root` is the folder of the program's files, None where they are in no folder; `variables` are the caller's. Raises
    InputError for a folder that is not there.
    """
    for folder in folders:
        if not Path(folder).expanduser().exists():
            raise InputError(f"--data {folder}: not there; name a folder or file of this machine")
    given = [str(Path(folder).expanduser().absolute()) for folder in folders]
    written = _written_to(source)
    named = [path for path in _absolute(source) if _may_be_meant(path) and not _is_below(path, written)]
    caches = dict(_caches(variables))
    relative = {
        **{name: os.path.realpath(path) for name, path in _relative(source, root) if not _is_below(name, written)},
        **dict(_given_relative(folders)),
    }
    return DryRunAccess(
        data=tuple(dict.fromkeys([*given, *named[:MOST_SHOWN], *(path for _, path, _ in caches.values())])),
        here=tuple(sorted(relative.items())[:MOST_SHOWN]),
        environment=tuple((variable, value) for variable, (_, _, value) in caches.items()),
    )


def _caches(variables: Mapping[str, str]) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """(variable, (name, folder shown, value of the variable)) of the caches that are there; tokens lie above them."""
    home = variables.get("HOME") or str(Path.home())
    base = variables.get("XDG_CACHE_HOME") or posixpath.join(home, ".cache")
    hugging = variables.get("HF_HOME") or posixpath.join(base, "huggingface")
    torch = variables.get("TORCH_HOME") or posixpath.join(base, "torch")
    places = (
        ("HF_HUB_CACHE", variables.get("HF_HUB_CACHE") or posixpath.join(hugging, "hub"), None),
        ("HF_DATASETS_CACHE", variables.get("HF_DATASETS_CACHE") or posixpath.join(hugging, "datasets"), None),
        ("TORCH_HOME", posixpath.join(torch, "hub"), torch),
    )
    for variable, folder, value in places:
        if Path(folder).is_dir():
            yield variable, (variable, os.path.abspath(folder), os.path.abspath(value or folder))


def _absolute(source: JobSource) -> list[str]:
    """Absolute paths that arguments and configuration name and that are there."""
    found = (os.path.expanduser(word) for word in _words(source))
    return list(dict.fromkeys(os.path.normpath(path) for path in found if path.startswith("/") and _there(path)))


def _relative(source: JobSource, root: Path | None) -> Iterator[tuple[str, str]]:
    """(relative name, path) of what arguments, configuration and code name beside the program's own files."""
    bases = [base for base in (root, Path.cwd()) if base is not None]
    for word in dict.fromkeys([*_words(source), *_quoted(source, root)]):
        name = posixpath.normpath(word)
        if word.startswith(("/", "~")) or name in (".", "..") or name in source.files or name.count("..") > UP:
            continue
        if any(path.startswith(f"{name}/") for path in source.files):
            continue  # a folder of the program itself; what lies in it is named by itself or not at all
        base = next((base for base in bases if _there(str(base / name))), None)
        if base is not None and (base is root or word in _words(source)) and _may_be_meant(str(base / name)):
            yield name, str(base / name)


def _given_relative(folders: Sequence[str]) -> Iterator[tuple[str, str]]:
    """A folder that was given by a relative name is found by that, too."""
    for folder in folders:
        name = posixpath.normpath(folder)
        if not folder.startswith(("/", "~")) and name != "." and name.count("..") <= UP:
            yield name, os.path.realpath(folder)


def _written_to(source: JobSource) -> set[str]:
    """Folders that the program writes to, by what names them: an earlier run has left some, which are no data of it."""
    texts = [(_WRITTEN_ELSEWHERE, " ".join(source.arguments))]
    for name, data in source.files.items():
        texts.append((_WRITTEN_IN_CODE if name.endswith(".py") else _WRITTEN_ELSEWHERE, data.decode(errors="replace")))
    found = {word for patterns, text in texts for pattern in patterns for word in pattern.findall(text)}
    return {os.path.normpath(os.path.expanduser(word)) for word in found} - {".", "..", "/"}


def _is_below(path: str, folders: set[str]) -> bool:
    """Whether a path is one of these or lies in one."""
    return any(f"{path}/".startswith(f"{folder}/") for folder in folders)


def _words(source: JobSource) -> list[str]:
    """What may be a path in the arguments, the variables and the configuration."""
    texts = [*source.arguments, *filter(None, source.environment.values())]
    texts += [data.decode(errors="replace") for path, data in source.files.items() if not path.endswith(".py")]
    return [word for text in texts for word in _WORD.findall(text)][:MOST_NAMED]


def _quoted(source: JobSource, root: Path | None) -> list[str]:
    """Strings in the program's own modules; they may name what lies in the folder of the program, and no more."""
    texts = (data.decode(errors="replace") for path, data in source.files.items() if path.endswith(".py"))
    words = [word for text in texts for word in _QUOTED.findall(text)] if root is not None else []
    return [word for word in words if ".." not in word][:MOST_NAMED]


def _there(path: str) -> bool:
    try:
        return os.path.exists(path)
    except (OSError, ValueError):  # too long, or no path at all
        return False


def _may_be_meant(path: str) -> bool:
    """Not the system, not a home as a whole, nothing hidden in one: where keys and tokens lie."""
    home, real = os.path.realpath(os.path.expanduser("~")), os.path.realpath(path)
    if real in NEVER or real == home or f"{home}/".startswith(f"{real}/"):
        return False
    inside = real[len(home) :].strip("/").split("/") if real.startswith(f"{home}/") else []
    return not any(part.startswith(".") for part in inside) and not real.startswith(
        ("/proc/", "/sys/", "/dev/", "/etc/")
    )


def of_owner(mounts: Iterable[str], hidden: Sequence[str], interpreter: Interpreter | None) -> DryRunAccess:
    """What a service lets the jobs of one owner read, and which of its own files are covered."""
    return DryRunAccess(data=tuple(mounts), hidden=tuple(hidden), interpreter=interpreter)

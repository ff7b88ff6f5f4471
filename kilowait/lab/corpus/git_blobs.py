"""Files of a git repository at given commits, read without a work tree.

One `git cat-file --batch` answers for all of them. Nothing is checked out, fetched or executed.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from kilowait.core.errors import InputError

_COMMIT = re.compile(r"[0-9a-f]{7,64}")
_QUIET = {"GIT_NO_LAZY_FETCH": "1", "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A file's bytes and the object id git knows them by."""

    oid: str
    data: bytes


Wanted = tuple[str, str]
"""A commit and a path in it."""


def read_blobs(repository: Path | str, wanted: Sequence[Wanted]) -> dict[Wanted, Blob | str]:
    """Every wanted file as a Blob, or as the reason why there is none.

    `repository` is a work tree or a bare git directory. Raises InputError when it is neither.
    """
    _git(repository, ["rev-parse", "--git-dir"], b"")
    distinct = list(dict.fromkeys(wanted))
    reasons = {pair: reason for pair in distinct if (reason := _unusable(pair))}
    usable_pairs = [pair for pair in distinct if pair not in reasons]
    commits = list(dict.fromkeys(commit for commit, _ in usable_pairs))
    commit_objects = dict(
        zip(commits, _objects(repository, [f"{commit}^{{commit}}" for commit in commits]), strict=True)
    )
    files = _objects(repository, [f"{commit}:{path}" for commit, path in usable_pairs])
    answers = {
        pair: _judge(pair, commit_objects[pair[0]], file) for pair, file in zip(usable_pairs, files, strict=True)
    }
    return {pair: reasons.get(pair) or answers[pair] for pair in distinct}


def _unusable(pair: Wanted) -> str | None:
    commit, path = pair
    if not _COMMIT.fullmatch(commit):
        return f"{commit!r} is no commit id"
    if not path or not path.isprintable():
        return f"{path!r} is no path"
    return None


def _judge(pair: Wanted, commit: tuple[str, Blob] | None, file: tuple[str, Blob] | None) -> Blob | str:
    if commit is None:
        return f"commit {pair[0]} is not in the repository; fetch its whole history"
    if file is None:
        return f"{pair[1]} is not in commit {pair[0]}"
    kind, blob = file
    return blob if kind == "blob" else f"{pair[1]} is a {kind} in commit {pair[0]}, not a file"


def _objects(repository: Path | str, names: Sequence[str]) -> Iterator[tuple[str, Blob] | None]:
    """Type and content of each named object, None for one that is missing."""
    output = _git(repository, ["cat-file", "--batch"], "".join(f"{name}\n" for name in names).encode())
    position = 0
    for _ in names:
        end = output.index(b"\n", position)
        oid, _, kind_and_size = output[position:end].decode(errors="replace").partition(" ")
        kind, _, size = kind_and_size.rpartition(" ")
        position = end + 1
        if kind not in ("blob", "tree", "commit", "tag"):
            yield None  # "NAME missing" or "NAME ambiguous"
            continue
        yield kind, Blob(oid=oid, data=output[position : position + int(size)])
        position += int(size) + 1


def _git(repository: Path | str, arguments: Sequence[str], stdin: bytes) -> bytes:
    command = ["git", "-C", str(repository), *arguments]
    try:
        process = subprocess.run(command, input=stdin, capture_output=True, check=True, env={**os.environ, **_QUIET})
    except FileNotFoundError as error:
        raise InputError("git is not installed; the importer reads the repository through it") from error
    except subprocess.CalledProcessError as error:
        error_lines = error.stderr.decode(errors="replace").strip().splitlines()
        raise InputError(
            f"{repository}: not a git repository that can be read: {error_lines[-1] if error_lines else '?'}"
        ) from error
    return process.stdout

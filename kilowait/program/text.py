"""The one text that a predictor reads of a job's source.

A single file without arguments is read as it stands. Of several, each stands under a comment with its path: the
entrypoint, its modules in the order in which they are imported, configuration in the order in which it is named.
Arguments follow in a last comment, with the values in effect. A change of this form changes what stored vectors mean:
it is a new `job_source.SCHEMA`.
"""

import json
import shlex

from kilowait.program.effect import Effective, arguments_in_effect
from kilowait.program.job_source import JobSource
from kilowait.program.reach import reach
from kilowait.program.tree import Tree
from kilowait.source import Source


def as_source(source: JobSource, name: str | None = None) -> Source:
    """What the embedder takes: the canonical text under the content hash of the whole source."""
    return Source(name=name or source.entrypoint, text=render(source), content_hash=source.content_hash)


def texts(source: JobSource) -> dict[str, str]:
    """The text of each reached file by its path, in canonical order."""
    files = reach(Tree.of(source.files), source.entrypoint, source.arguments).files
    return {path: data.decode("utf-8-sig") for path, data in files.items()}


def render(source: JobSource) -> str:
    """The canonical text. Files of the record that the entrypoint does not reach are no part of it."""
    by_path = texts(source)
    headed = len(by_path) > 1
    parts = [f"# {path}\n{text}" if headed else text for path, text in by_path.items()]
    if source.arguments:
        parts.append(f"# arguments: {_line(source)}\n")
    ended = [part if part.endswith("\n") else part + "\n" for part in parts[:-1]]
    return "".join([*ended, parts[-1]])


def _line(source: JobSource) -> str:
    """The words as a shell would take them, then each known option as name=value."""
    words = " ".join(shlex.quote(word) if word.isprintable() else json.dumps(word) for word in source.arguments)
    known = " ".join(f"{name}={_shown(effective)}" for name, effective in arguments_in_effect(source).items())
    return f"{words} -> {known}"


def _shown(effective: Effective) -> str:
    return json.dumps(effective.value, default=str)

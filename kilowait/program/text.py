"""The one text that a predictor reads of a job's source.

A single file without arguments is read as it stands. Of several, each stands under a comment with its path: the
entrypoint, its modules in the order in which they are imported, configuration in the order in which it is named.

A given argument whose option has a default in the text is written in its place: `--epochs 300` reads as the program
does whose default is 300, and an argument that repeats its default changes nothing. The other arguments follow in a
last comment, `# arguments: amp=true`. Values that the text holds are not said again there: probes count every number
they see, and a list of all options at the end about doubled what they predicted.

A change of this form changes what stored vectors mean: it is a new `job_source.SCHEMA`.
"""

import json
import re
from collections.abc import Mapping

from kilowait.program.effect import arguments_in_effect
from kilowait.program.job_source import JobSource
from kilowait.program.options import Place
from kilowait.program.source import Source


def as_source(source: JobSource, name: str | None = None) -> Source:
    """What the embedder takes: the canonical text under the content hash of the whole source."""
    return Source(name=name or source.entrypoint, text=render(source), content_hash=source.content_hash)


def texts(source: JobSource) -> dict[str, str]:
    """The text of each reached file by its path, in canonical order."""
    files = source.files if len(source.files) == 1 else source.reached.files
    return {path: data.decode("utf-8-sig") for path, data in files.items()}


def render(source: JobSource) -> str:
    """The canonical text. Files of the record that the entrypoint does not reach are no part of it."""
    effect = arguments_in_effect(source) if source.arguments else {}
    arguments = {
        name: effective for name, effective in effect.items() if effective.evidence == "given" and not effective.repeats
    }
    by_path = texts(source)
    for path in {effective.path for effective in arguments.values() if effective.places}:
        changes = {place: repr(e.value) for e in arguments.values() if e.path == path for place in e.places}
        by_path[path] = _replace(by_path[path], changes)
    with_headings = len(by_path) > 1
    parts = [f"# {path}\n{text}" if with_headings else text for path, text in by_path.items()]
    unplaced = " ".join(f"{name}={json.dumps(e.value, default=str)}" for name, e in arguments.items() if not e.places)
    if unplaced:
        parts.append(f"# arguments: {unplaced}\n")
    ended = [part if part.endswith("\n") else part + "\n" for part in parts[:-1]]
    return "".join([*ended, parts[-1]])


def _replace(text: str, changes: Mapping[Place, str]) -> str:
    """`text` with other expressions at some places, none of which holds another."""
    data = text.encode()
    starts = [0, *(match.end() for match in re.finditer(rb"\r\n|\r|\n", data))]
    for (line, column, end_line, end), value in sorted(changes.items(), reverse=True):
        data = data[: starts[line - 1] + column] + value.encode() + data[starts[end_line - 1] + end :]
    return data.decode()

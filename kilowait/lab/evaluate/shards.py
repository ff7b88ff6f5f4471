"""Embedding many sources as shards: what is refused, what is done, what is still to do, and how it is kept.

A shard is one Parquet file under a name made from what it holds. What is done is read from the finished shards, one
(content hash, feature key) at a time, so a run that resumes with another shard size, layer or corpus repeats nothing.

Not covered: two runs that write into one folder at the same time (both would do the same work; nothing breaks).
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

from kilowait.core.errors import InputError, SourceError
from kilowait.files.atomic import write_text
from kilowait.files.columns import CORPUS, EMBEDDINGS
from kilowait.files.parquet import read_table, table, write_table
from kilowait.program.source import Source, read_source

PREFIX = "shard-"
SHARD_CHARACTERS = 400_000
"""A shard of long sources ends here, so that a kill costs minutes at most."""

_WINDOW = b"kilowait.window"
_DTYPE = b"kilowait.dtype"

Done = set[tuple[str, str]]
"""Pairs of content hash and feature key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RefusedFile:
    """A file that has no vector, by name, and why."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What was found: every path, the unique sources by content hash, and the refused files."""

    files: int
    sources: Mapping[str, Source]
    refused: Sequence[RefusedFile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Sources that lack vectors for the same feature keys, embedded and written together."""

    sources: tuple[Source, ...]
    keys: tuple[str, ...]

    @property
    def name(self) -> str:
        """The file's name: a hash of its content hashes and feature keys."""
        content = "\n".join([*sorted(source.content_hash for source in self.sources), *sorted(self.keys)])
        return f"{PREFIX}{hashlib.sha256(content.encode()).hexdigest()[:16]}.parquet"


def find_files(roots: Sequence[str], pattern: str) -> list[Path]:
    """The files named, and those under the folders named whose name matches `pattern`, each path once.

    A corpus with a manifest comes in the manifest's order, which takes families in turn; another folder is sorted.
    Raises InputError when a root does not exist.
    """
    return list(dict.fromkeys(path for root in map(Path, roots) for path in _files_of(root, pattern)))


def _files_of(root: Path, pattern: str) -> list[Path]:
    if not root.exists():
        raise InputError(f"{root}: no such file or folder")
    manifest = root / "manifest.parquet"
    if manifest.is_file():
        return [root / path for path in read_table(manifest, CORPUS)["path"].to_pylist()]
    return sorted(p for p in root.rglob(pattern) if p.is_file()) if root.is_dir() else [root]


def collect(paths: Iterable[Path], max_bytes: int) -> Sources:
    """Read every path; a source that several paths hold is kept once, under the first one's name."""
    sources: dict[str, Source] = {}
    refused: list[RefusedFile] = []
    files = 0
    for path in paths:
        files += 1
        try:
            source = read_source(path, max_bytes=max_bytes)
        except SourceError as error:
            refused.append(RefusedFile(path=str(path), reason=str(error)))
        else:
            sources.setdefault(source.content_hash, source)
    return Sources(files=files, sources=sources, refused=refused)


def finished(folder: Path, window: int) -> Done:
    """What the shards in `folder` hold; raises InputError when they were read with another window size."""
    done: Done = set()
    for path in sorted(folder.glob(f"{PREFIX}*.parquet")):
        data = read_table(path, EMBEDDINGS)
        shard_window = int((pq.read_schema(path).metadata or {}).get(_WINDOW, window))
        if shard_window != window:
            raise InputError(f"{path}: written with --window {shard_window}, this run has {window}; give another --out")
        done |= set(zip(data["content_hash"].to_pylist(), data["features"].to_pylist(), strict=True))
    return done


def plan(
    sources: Mapping[str, Source], keys: Sequence[str], done: Collection[tuple[str, str]], size: int
) -> list[Shard]:
    """Shards of at most `size` sources that together hold exactly what is not `done`, the longest sources first.

    Sources of like length share a shard, and the short ones come last, so that the last actors end together.
    """
    lacking: dict[tuple[str, ...], list[Source]] = {}
    for source in sources.values():
        missing = tuple(key for key in keys if (source.content_hash, key) not in done)
        if missing:
            lacking.setdefault(missing, []).append(source)
    return [
        Shard(sources=tuple(group), keys=missing)
        for missing, group_sources in lacking.items()
        for group in _groups(sorted(group_sources, key=lambda s: (-len(s.text), s.content_hash)), size)
    ]


def _groups(sources: Iterable[Source], size: int) -> Iterator[list[Source]]:
    group: list[Source] = []
    for source in sources:
        full = len(group) == size or sum(len(s.text) for s in group) + len(source.text) > SHARD_CHARACTERS
        if group and full:
            yield group
            group = []
        group.append(source)
    if group:
        yield group


def write_shard(folder: Path, name: str, rows: Sequence[Mapping[str, object]], *, window: int, dtype: str) -> None:
    """Write a shard's rows (columns.EMBEDDINGS) atomically; the window and the dtype stand in the file's metadata."""
    data = table(rows, EMBEDDINGS)
    metadata = {_WINDOW: str(window).encode(), _DTYPE: dtype.encode()}
    write_table(data.replace_schema_metadata(metadata), folder / name)


def write_refused(folder: Path, refused: Sequence[RefusedFile]) -> None:
    """Write refused.json, {"count", "refused": [{"path", "reason"}]}, atomically."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [{"path": r.path, "reason": r.reason} for r in refused]
    write_text(folder / "refused.json", json.dumps({"count": len(rows), "refused": rows}, indent=2) + "\n")

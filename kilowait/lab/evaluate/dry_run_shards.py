"""Dry runs on disk: Parquet shards with one row a source and target (columns.DRYRUNS)."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from kilowait.core.errors import InputError
from kilowait.files.columns import DRYRUNS
from kilowait.files.parquet import read_table, table, write_table
from kilowait.predict.dryrun.record import DryRun, Operation

PREFIX = "dryrun-"

_OPERATIONS = msgspec.json.Decoder(tuple[Operation, ...])


def write_dry_runs(folder: Path, runs: Sequence[DryRun]) -> Path:
    """Write one shard, named after what it holds, atomically; returns its path."""
    contents = "\n".join(sorted(f"{run.content_hash} {run.target}" for run in runs))
    path = folder / f"{PREFIX}{hashlib.sha256(contents.encode()).hexdigest()[:16]}.parquet"
    write_table(table([_row(run) for run in runs], DRYRUNS), path)
    return path


def read_dry_runs(folder: Path | str, target: str) -> dict[str, DryRun]:
    """Every dry run of `target` in a folder, by content hash; a usable one goes before one that failed.

    Raises InputError naming the folder without shards, or the shard that cannot be read.
    """
    paths = sorted(Path(folder).glob(f"{PREFIX}*.parquet"))
    if not paths:
        raise InputError(f"{folder}: no {PREFIX}*.parquet; write them with kilowait lab dryrun --out {folder}")
    runs: dict[str, DryRun] = {}
    for path in paths:
        for run in _runs(path):
            if run.target == target and (run.usable or run.content_hash not in runs):
                runs[run.content_hash] = run
    return runs


def finished(folder: Path, target: str) -> set[str]:
    """The content hashes that have a dry run on `target` in this folder, failed ones included."""
    hashes: set[str] = set()
    for path in sorted(folder.glob(f"{PREFIX}*.parquet")):
        data = read_table(path, DRYRUNS)
        pairs = zip(data["content_hash"].to_pylist(), data["target"].to_pylist(), strict=True)
        hashes |= {content_hash for content_hash, run_target in pairs if run_target == target}
    return hashes


def _row(run: DryRun) -> dict[str, Any]:
    fields = {name: value for name, value in vars(run).items() if name in DRYRUNS.names}
    return {**fields, "operations": msgspec.json.encode(run.operations).decode()}


def _runs(path: Path) -> list[DryRun]:
    try:
        return [
            DryRun(**{**row, "operations": _OPERATIONS.decode(row["operations"])})
            for row in read_table(path, DRYRUNS).select(DRYRUNS.names).to_pylist()
        ]
    except (msgspec.DecodeError, TypeError) as error:
        raise InputError(f"{path}: not a shard of dry runs: {error}") from error

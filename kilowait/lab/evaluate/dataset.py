"""Labels beside their embeddings: what probes and baselines are trained on.

Not covered: writing either table (pipelines do) and reading vectors lazily (a site's whole history fits in memory).
"""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.core.errors import InputError
from kilowait.core.jobs import Provenance
from kilowait.files.columns import CORPUS, EMBEDDINGS, LABELS, metric_columns
from kilowait.files.parquet import read_table
from kilowait.predict.probe.probe import Rows
from kilowait.program.source import read_source


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """N labels of S scripts on D device types.

    `scripts`, `families` and `groups` have a row a script; `script` and `device` (N,) index them and
    `device_types`. `metrics` (N,) hold NaN where a label is missing; `measured` (N,) says whether the label was
    measured: what is only estimated trains probes and supports no claim of accuracy. `digest` is the label file's
    SHA-256.
    """

    scripts: tuple[str, ...]
    families: tuple[str, ...]
    groups: tuple[str, ...]
    device_types: tuple[str, ...]
    script: IntArray
    device: IntArray
    metrics: Mapping[str, FloatArray]
    provenance: Mapping[str, Mapping[str, Provenance]]
    measured: Mapping[str, Mask]
    spread: FloatArray
    flagged: Mask
    digest: str

    def row_keys(self, of: Sequence[str]) -> list[str]:
        """A property of the scripts (`scripts`, `families`, `groups`), repeated for each of the N labels."""
        return [of[i] for i in self.script]

    def rows(self, metric: str, x: Tensor, mask: Mask) -> Rows:
        """The labels of `mask` (N,) for fitting; inner choices keep whole groups together."""
        group_index = {group: i for i, group in enumerate(sorted(set(self.groups)))}
        return Rows(
            x=x,
            script=torch.from_numpy(self.script),
            device=torch.from_numpy(self.device),
            y=torch.from_numpy(self.metrics[metric]).float(),
            keys=torch.tensor([group_index[group] for group in self.groups]),
        ).where(torch.from_numpy(mask))

    def crossed(self, types: Sequence[int]) -> "Dataset":
        """The same scripts with a row for each of the device types `types`: script by script, NaN for no label."""
        size = len(self.scripts) * len(types)
        selected = np.isin(self.device, types)
        places = self._place(types)[selected]

        def spread_out(values: NDArray[Any], missing: Any) -> NDArray[Any]:
            spread_values = np.full(size, missing, dtype=values.dtype)
            spread_values[places] = values[selected]
            return spread_values

        return replace(
            self,
            device_types=tuple(self.device_types[i] for i in types),
            script=np.repeat(np.arange(len(self.scripts)), len(types)),
            device=np.tile(np.arange(len(types)), len(self.scripts)),
            metrics={m: spread_out(values, np.nan) for m, values in self.metrics.items()},
            measured={m: spread_out(values, False) for m, values in self.measured.items()},
            spread=spread_out(self.spread, np.nan),
            flagged=spread_out(self.flagged, False),
        )

    def crossed_mask(self, mask: Mask, types: Sequence[int]) -> Mask:
        """The rows of `mask` (N,) among those of `crossed(types)`."""
        crossed = np.zeros(len(self.scripts) * len(types), dtype=np.bool_)
        crossed[self._place(types)[mask & np.isin(self.device, types)]] = True
        return crossed

    def _place(self, types: Sequence[int]) -> IntArray:
        """Each label's row in `crossed(types)`; meaningless for labels of other types."""
        order = np.zeros(len(self.device_types), dtype=np.int64)
        order[list(types)] = np.arange(len(types))
        return self.script * len(types) + order[self.device]


def read_study(path: Path | str, only: Collection[str] | None = None) -> Dataset:
    """Read a label table, of the scripts in `only` where that is given.

    Raises InputError, naming the file, when no labels are left.
    """
    table = read_table(path, LABELS)
    if only is not None:
        table = table.filter(pa.array([script in only for script in table["content_hash"].to_pylist()], pa.bool_()))
    if table.num_rows == 0:
        raise InputError(f"{path}: no labels in it")
    return study_of(table, hashlib.sha256(Path(path).read_bytes()).hexdigest())


def study_of(table: pa.Table, digest: str) -> Dataset:
    """A study of the rows of a label table; `digest` names where they came from."""
    column = {name: table[name].to_pylist() for name in table.column_names}
    scripts = sorted(set(column["content_hash"]))
    first_row = {h: i for i, h in reversed(list(enumerate(column["content_hash"])))}
    position = {h: i for i, h in enumerate(scripts)}
    device_types = sorted(set(column["device_type"]))
    metrics = metric_columns(table.schema)
    provenances = {metric: _provenance(column, metric) for metric in metrics}
    return Dataset(
        scripts=tuple(scripts),
        families=tuple(column["family"][first_row[h]] for h in scripts),
        groups=tuple(column["group"][first_row[h]] for h in scripts),
        device_types=tuple(device_types),
        script=np.array([position[h] for h in column["content_hash"]], dtype=np.int64),
        device=np.array([device_types.index(d) for d in column["device_type"]], dtype=np.int64),
        metrics={m: np.array(column[m], dtype=np.float64) for m in metrics},
        provenance={m: _weakest(p, column["device_type"]) for m, p in provenances.items()},
        measured={m: np.array([v == Provenance.MEASURED for v in p]) for m, p in provenances.items()},
        spread=np.array(column["spread"], dtype=np.float64),
        flagged=np.array(column["flagged"], dtype=np.bool_),
        digest=digest,
    )


def _provenance(column: Mapping[str, list[str]], metric: str) -> list[Provenance]:
    """How each label was had: `runtime_s` reads `runtime_provenance`; unstated counts as estimated."""
    stated = column.get(f"{metric.rsplit('_', 1)[0]}_provenance")
    if stated is None:
        return [Provenance.ESTIMATED] * len(column["content_hash"])
    return [Provenance.ESTIMATED if value is None else Provenance(value) for value in stated]


def _weakest(provenance: Sequence[Provenance], device_type: Sequence[str]) -> dict[str, Provenance]:
    """For each device type its one provenance, or estimated where labels differ."""
    provenances: dict[str, set[Provenance]] = {}
    for value, device in zip(provenance, device_type, strict=True):
        provenances.setdefault(device, set()).add(value)
    return {d: v.pop() if len(v) == 1 else Provenance.ESTIMATED for d, v in sorted(provenances.items())}


def embedding_keys(folder: Path | str) -> list[str]:
    """The feature configurations that a folder of embedding shards has vectors for."""
    return sorted({key for shard in _shards(folder) for key in shard["features"].unique().to_pylist()})


def embedding_pairs(folder: Path | str) -> set[tuple[str, str]]:
    """Every (content hash, feature key) that a folder of embedding shards has a vector for."""
    return {
        pair
        for shard in _shards(folder)
        for pair in zip(shard["content_hash"].to_pylist(), shard["features"].to_pylist(), strict=True)
    }


def embedded_scripts(folder: Path | str, keys: Sequence[str]) -> set[str]:
    """The scripts that have a vector for every one of `keys`."""
    pairs = embedding_pairs(folder)
    return set.intersection(*({script for script, script_key in pairs if script_key == key} for key in keys))


def read_embeddings(folder: Path | str, keys: Sequence[str], scripts: Sequence[str]) -> dict[str, Tensor]:
    """The vectors (S, d) of `scripts` for each of `keys`.

    Raises InputError saying how many scripts lack a vector, and how to get them.
    """
    script_set = set(scripts)
    by_key: dict[str, dict[str, NDArray[np.float32]]] = {key: {} for key in keys}
    for shard in _shards(folder):
        for batch in shard.to_batches():
            columns = [batch.column(name) for name in ("content_hash", "features", "vector")]
            for row, (script, key) in enumerate(zip(*(c.to_pylist() for c in columns[:2]), strict=True)):
                if key in by_key and script in script_set:
                    by_key[key][script] = columns[2][row].values.to_numpy(zero_copy_only=False)
    return {key: _matrix(folder, key, vectors, scripts) for key, vectors in by_key.items()}


def _shards(folder: Path | str) -> Iterator[pa.Table]:
    paths = sorted(p for p in Path(folder).rglob("*.parquet") if not p.name.startswith("."))
    if not paths:
        raise InputError(f"{folder}: no Parquet shards of embeddings; run kilowait lab embed")
    for path in paths:
        yield read_table(path, EMBEDDINGS)


def _matrix(folder: Path | str, key: str, vectors: Mapping[str, NDArray[np.float32]], scripts: Sequence[str]) -> Tensor:
    missing = [script for script in scripts if script not in vectors]
    if missing:
        raise InputError(
            f"{folder}: {len(missing)} of {len(scripts)} labelled scripts have no vector for {key} "
            f"(first: {missing[0]}); run kilowait lab embed over the labelled corpus with these features"
        )
    matrix = torch.from_numpy(np.stack([vectors[script] for script in scripts]).astype(np.float32))
    if not torch.isfinite(matrix).all():
        raise InputError(f"{folder}: NaN or infinite vectors for {key}; embed these sources again")
    return matrix


def read_texts(corpus: Path | str, scripts: Sequence[str]) -> list[str]:
    """The source texts of `scripts` from a corpus folder; raises InputError when some are not in it."""
    manifest = Path(corpus) / "manifest.parquet"
    table = read_table(manifest, CORPUS)
    paths = dict(zip(table["content_hash"].to_pylist(), table["path"].to_pylist(), strict=True))
    missing = [script for script in scripts if script not in paths]
    if missing:
        raise InputError(
            f"{manifest}: lacks {len(missing)} of {len(scripts)} labelled scripts (first: {missing[0]}); "
            "give the corpus that was labelled"
        )
    return [read_source(Path(corpus) / paths[script]).text for script in scripts]

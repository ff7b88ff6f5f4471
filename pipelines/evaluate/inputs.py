"""One or two labelled corpora as what recipes look at: labels, texts, vectors, dry runs, specifications."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from kilowait.core import hardware
from kilowait.core.arrays import Mask
from kilowait.core.errors import InputError
from kilowait.core.gpu_type import GpuType
from kilowait.files.columns import CORPUS, LABELS
from kilowait.files.parquet import read_table
from kilowait.lab.evaluate.cross_validation import Inputs
from kilowait.lab.evaluate.dataset import Dataset, read_embeddings, study_of
from kilowait.lab.evaluate.operation_times import Programs, grid_of
from kilowait.predict.device_model.specifications import is_cpu
from kilowait.predict.dryrun.record import DryRun
from kilowait.program.source import Source, content_hash, read_source

from . import features_cache
from .recipes import NamedRecipe

OUR_LABELS = Path(__file__).parents[2] / "data" / "cpu" / "labels.parquet"
"""The labels of kilowait's own corpus, in the checkout or in the installed package."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """A corpus folder with its labels: rows of columns.LABELS, and of columns.CORPUS by content hash."""

    folder: Path
    labels: pa.Table
    programs: dict[str, dict[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Data:
    """What is evaluated: the inputs of recipes, and the rows (N,) of the corpus that alone is tested, if there are two.

    `dropped` counts the training labels left out because their program, or one of its group, is tested.
    """

    inputs: Inputs
    tested: Mask | None = None
    dropped: int = 0

    @property
    def new_types(self) -> bool:
        """Whether the tested corpus has a device type that the training corpus lacks."""
        if self.tested is None:
            return False
        device = self.inputs.study.device
        return bool(set(device[self.tested]) - set(device[~self.tested]))


def read_corpus(folder: Path, labels: Path | None) -> Corpus:
    """A corpus and its labels (its own labels.parquet unless given).

    Raises InputError when either is missing, or when no label is of a program in the corpus.
    """
    programs = {row["content_hash"]: row for row in read_table(folder / "manifest.parquet", CORPUS).to_pylist()}
    table = read_table(labels or folder / "labels.parquet", LABELS)
    labelled_rows = table.filter(
        pa.array([script in programs for script in table["content_hash"].to_pylist()], pa.bool_())
    )
    if labelled_rows.num_rows == 0:
        path = labels or folder / "labels.parquet"
        raise InputError(f"{path}: none of its {table.num_rows} labels is of a program in {folder}")
    return Corpus(folder=folder, labels=labelled_rows.select(LABELS.names), programs=programs)


def drift(again: pa.Table, before: pa.Table) -> dict[str, list[float]]:
    """For each device type the run times of `again` over those of the same programs in `before`, sorted.

    Raises InputError where a device type of `before` has no program in `again`.
    """
    runtime_before = {(row["content_hash"], row["device_type"]): row["runtime_s"] for row in before.to_pylist()}
    ratios: dict[str, list[float]] = {device: [] for _, device in sorted(runtime_before)}
    for row in again.to_pylist():
        if (row["content_hash"], row["device_type"]) in runtime_before:
            ratios[row["device_type"]].append(
                row["runtime_s"] / runtime_before[row["content_hash"], row["device_type"]]
            )
    missing_devices = [device for device, values in ratios.items() if not values]
    if missing_devices:
        raise InputError(f"--again: no program of --train was measured again on {', '.join(missing_devices)}")
    return {device: sorted(values) for device, values in ratios.items()}


def on_devices(corpus: Corpus, devices: Sequence[str]) -> Corpus:
    """The corpus with its labels on some device types alone; raises InputError for a type without labels."""
    label_devices = corpus.labels["device_type"].to_pylist()
    for device in devices:
        if device not in label_devices:
            raise InputError(f"--devices {device}: not labelled; there are {', '.join(sorted(set(label_devices)))}")
    return replace(
        corpus, labels=corpus.labels.filter(pa.array([device in devices for device in label_devices], pa.bool_()))
    )


def divided(study: Dataset, factors: Mapping[str, float], rows: Mask | None) -> Dataset:
    """The study with the run times of `rows` (N,; None is all) divided by the factor of their device type."""
    factor = np.array([factors.get(device, 1.0) for device in study.device_types])[study.device]
    times = study.metrics["runtime_s"] / (factor if rows is None else np.where(rows, factor, 1.0))
    return replace(study, metrics={**study.metrics, "runtime_s": times})


def load(corpora: Sequence[Corpus], recipes: Sequence[NamedRecipe]) -> Data:
    """Everything `recipes` need of one corpus, or of a training and a test corpus; what is missing is computed."""
    *before, last = corpora
    tables = [_without_tested(corpus.labels, last.labels) for corpus in before]
    dropped = sum(c.labels.num_rows for c in before) - sum(t.num_rows for t in tables)
    whole = pa.concat_tables([*tables, last.labels])
    study = study_of(whole, _digest(whole))
    tested = np.arange(whole.num_rows) >= whole.num_rows - last.labels.num_rows
    inputs = _inputs(study, corpora, recipes)
    return Data(inputs=inputs, tested=tested if before else None, dropped=dropped)


def _without_tested(train: pa.Table, test: pa.Table) -> pa.Table:
    """The training labels of programs that are not tested, nor of a group that is."""
    scripts, groups = set(test["content_hash"].to_pylist()), set(test["group"].to_pylist())
    pairs = zip(train["content_hash"].to_pylist(), train["group"].to_pylist(), strict=True)
    remaining = train.filter(pa.array([s not in scripts and g not in groups for s, g in pairs], pa.bool_()))
    if remaining.num_rows == 0:
        raise InputError("--train holds no program that is not in --test too: nothing to learn from")
    return remaining


def study_of_corpus(corpus: Corpus) -> Dataset:
    """The labels of one corpus as a study."""
    return study_of(corpus.labels, _digest(corpus.labels))


def programs_of(corpus: Corpus, study: Dataset) -> Programs:
    """What the device model reads of a corpus.

    Raises InputError for a device type that is neither a GPU type of the catalogue nor cpu-N, and for labels on both
    kinds: a program does other operations on each.
    """
    devices = {name: specification(name) for name in study.device_types}
    gpus = [name for name, gpu in devices.items() if gpu is not None]
    other_names = [name for name in devices if name not in gpus]
    unknown = [name for name in other_names if not is_cpu(name)]
    if unknown:
        raise InputError(
            f"{corpus.folder}: labels on {', '.join(unknown)}, neither a GPU type of the catalogue nor cpu-N"
        )
    if gpus and other_names:
        raise InputError(
            f"{corpus.folder}: labels on {', '.join(gpus)} and on {', '.join(other_names)}; fit them apart"
        )
    runs = features_cache.dry_runs(corpus.folder, _sources(corpus, study), "cuda" if gpus else "cpu")
    return Programs(dry_runs=runs, devices=devices, grid=grid_of(runs.values()))


def _digest(table: pa.Table) -> str:
    return content_hash(repr(table.to_pylist()).encode())


def _inputs(study: Dataset, corpora: Sequence[Corpus], recipes: Sequence[NamedRecipe]) -> Inputs:
    sources = [_sources(corpus, study) for corpus in corpora]
    texts = {source.content_hash: source.text for part in sources for source in part}
    keys = sorted({key for recipe in recipes for key in recipe.features})
    runs: dict[str, DryRun | None] = {}
    if any(recipe.needs_dry_runs for recipe in recipes):
        for corpus, part in zip(corpora, sources, strict=True):
            runs |= usable_dry_runs(corpus.folder, part, study)
    return Inputs(
        study=study,
        embeddings=_vectors(corpora, sources, study, keys) if keys else {},
        texts=[texts[script] for script in study.scripts],
        dry_runs=runs,
        devices={name: specification(name) for name in study.device_types},
    )


def _sources(corpus: Corpus, study: Dataset) -> list[Source]:
    """The labelled programs of a corpus; raises InputError for a file that is not the one in the manifest."""
    scripts = set(study.scripts) & set(corpus.labels["content_hash"].to_pylist())
    sources = [read_source(corpus.folder / corpus.programs[script]["path"]) for script in sorted(scripts)]
    for source, script in zip(sources, sorted(scripts), strict=True):
        if source.content_hash != script:
            raise InputError(f"{source.name}: changed since the manifest was written; write the corpus again")
    return sources


def _vectors(
    corpora: Sequence[Corpus], sources: Sequence[Sequence[Source]], study: Dataset, keys: Sequence[str]
) -> dict[str, Tensor]:
    """The vectors (S, d) of every script, whichever corpus it is in."""
    vectors: dict[str, dict[str, Tensor]] = {key: {} for key in keys}
    for corpus, part in zip(corpora, sources, strict=True):
        features_cache.embed_missing(corpus.folder, part, keys)
        names = [source.content_hash for source in part]
        matrices = read_embeddings(features_cache.embeddings_folder(corpus.folder), keys, names)
        for key, matrix in matrices.items():
            vectors[key] |= dict(zip(names, matrix, strict=True))
    return {key: torch.stack([rows[script] for script in study.scripts]) for key, rows in vectors.items()}


def usable_dry_runs(folder: Path, sources: Sequence[Source], study: Dataset) -> dict[str, DryRun | None]:
    """Dry runs of programs of the corpus `folder` by content hash, None for those that failed."""
    target = "cuda" if any(specification(name) for name in study.device_types) else "cpu"
    runs = features_cache.dry_runs(folder, sources, target)
    usable_runs = {script: run for script, run in runs.items() if run.usable}
    return {source.content_hash: usable_runs.get(source.content_hash) for source in sources}


def specification(device_type: str) -> GpuType | None:
    """The published specification of a device type; None for one the catalogue lacks."""
    return hardware.GPU_TYPES.get(device_type)

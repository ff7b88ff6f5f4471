"""The methods that pipelines.alignment compares: each on the originals and, by the same models, on their twins."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from tqdm import tqdm

from kilowait.core.arrays import FloatArray
from kilowait.lab.evaluate.cross_validation import Inputs, Recipe
from kilowait.lab.evaluate.dataset import study_of
from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.embed.features import PAPER_LAST
from kilowait.predict.probe.probe import ProbeConfig
from kilowait.program.source import content_hash

from ..evaluate.inputs import specification
from .twin_scores import METRIC, Method, TwinTrial, mean_method, nearest_method, probe_method, words_method


@dataclass(frozen=True, slots=True, kw_only=True)
class BeforeAndAfter:
    """Out-of-fold predictions (T, D) of one method: of the originals, and of their twins."""

    originals: FloatArray
    twins: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """Texts (n) and where their vectors (n, d) by feature keys come from."""

    texts: Sequence[str]
    vectors: Callable[[Sequence[str]], Tensor]


def compared(
    trial: TwinTrial, known: Form, asked: Sequence[Form], config: ProbeConfig, seed: int
) -> dict[str, BeforeAndAfter]:
    """Ours and what came before, trained on the texts `known` (S); `asked` are the originals and the twins (T each)."""
    x = known.vectors(config.features)
    return {
        "default probe": probed(trial, known, asked, config, seed),
        "bag of words, ridge": _both(trial, [words_method(trial, known.texts, form.texts) for form in asked]),
        "nearest neighbour": _both(trial, [nearest_method(trial, x, f.vectors(config.features)) for f in asked]),
        "mean of each type": _both(trial, [mean_method(trial) for _ in asked]),
    }


def probed(trial: TwinTrial, known: Form, asked: Sequence[Form], config: ProbeConfig, seed: int) -> BeforeAndAfter:
    """A probe of `config` that learns from the vectors of `known` (S)."""
    x = known.vectors(config.features)
    return _both(trial, [probe_method(trial, config, x, form.vectors(config.features), seed) for form in asked])


def last_token() -> ProbeConfig:
    """Our regression on the vector that the paper reads."""
    return ProbeConfig(features=(PAPER_LAST.key,))


def _both(trial: TwinTrial, methods: Sequence[Method]) -> BeforeAndAfter:
    originals, twins = (trial.predict(method) for method in methods)
    return BeforeAndAfter(originals=originals, twins=twins)


def with_twins(
    labels: pa.Table,
    originals: Mapping[str, str],
    texts: Sequence[str],
    vectors: Mapping[str, Mapping[str, Tensor]],
    dry_runs: Mapping[str, DryRun | None],
) -> Inputs:
    """The labelled scripts and after them their twins, each under its original's labels, as what recipes look at.

    `originals` are the content hashes of the originals by those of the twins, `texts` those of all programs; `vectors`
    hold one vector a program by feature key and content hash.
    """
    rows: dict[str, list[dict[str, object]]] = {}
    for row in labels.to_pylist():
        rows.setdefault(row["content_hash"], []).append(row)
    twin_rows = [{**row, "content_hash": twin} for twin, original in originals.items() for row in rows[original]]
    table = pa.concat_tables([labels, pa.Table.from_pylist(twin_rows, schema=labels.schema)])
    study = study_of(table, content_hash(repr(table.to_pylist()).encode()))
    by_hash = {content_hash(text.encode()): text for text in texts}
    return Inputs(
        study=study,
        embeddings={
            key: torch.stack([rows_of_key[script] for script in study.scripts]) for key, rows_of_key in vectors.items()
        },
        texts=[by_hash[script] for script in study.scripts],
        dry_runs=dry_runs,
        devices={name: specification(name) for name in study.device_types},
    )


def by_recipe(trial: TwinTrial, inputs: Inputs, recipe: Recipe, twins: Sequence[str]) -> BeforeAndAfter:
    """What a recipe of pipelines.evaluate says of originals and `twins` (T content hashes) in `with_twins`' inputs.

    Its models learn from the trial's training labels alone, one model a fold.
    """
    study = inputs.study
    place = {script: i for i, script in enumerate(study.scripts)}
    original = [place[trial.study.scripts[i]] for i in trial.original]
    twin = [place[script] for script in twins]
    out = np.full((2, len(twin), len(study.device_types)), np.nan)
    for mask, tested in tqdm(trial.splits(), desc="dry run, device model", unit="model"):
        whole = np.zeros(len(study.script), dtype=np.bool_)
        whole[: len(mask)] = mask
        (answer,) = recipe(inputs, METRIC, [whole])
        table = np.full((len(study.scripts), len(study.device_types)), np.nan)
        table[study.script, study.device] = answer.predicted
        out[0, tested], out[1, tested] = table[original][tested], table[twin][tested]
    return BeforeAndAfter(originals=out[0], twins=out[1])

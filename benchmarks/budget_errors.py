"""How wrong predictions are at each budget of dry runs, on programs that the models have not seen.

A sample of the labelled corpus is held out, by program. Probe and device model learn from the rest, and then predict
the sample as `kilowait predict` does: the device model from a dry run of that budget, the probe where the dry run is
of no use. Errors are of modelled run times against measured ones.
"""

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from kilowait.core.arrays import Mask
from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.lab.evaluate.dataset import Dataset, read_embeddings, read_study
from kilowait.lab.evaluate.operation_times import grid_of
from kilowait.predict.accuracy import accuracy
from kilowait.predict.device_model.learned_weights import MeasuredTimes
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.specifications import Specification, is_cpu
from kilowait.predict.dry_runs import DryRunOutcome, DryRuns
from kilowait.predict.dryrun.record import Completeness, DryRun
from kilowait.predict.embed.embedding import Embedder
from kilowait.predict.operations import OperationsModel, of_bundle
from kilowait.predict.predictor import Predictor
from kilowait.predict.probe.bundle import Bundle, MetricProbe
from kilowait.predict.probe.probe import ProbeConfig, fit_probes
from kilowait.predict.timed import timed
from kilowait.program.source import Source, read_source
from pipelines.evaluate import features_cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Errors:
    """Of a sample's run times at one budget, and how many programs had a usable dry run."""

    programs: int
    by_dry_run: int
    outcomes: dict[str, int]
    median_ape: float
    r2_log: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What was held out (sources and their rows of the study), and the models of the rest."""

    study: Dataset
    sources: Sequence[Source]
    predictor: Predictor
    vectors: Mapping[str, NDArray[np.float32]]
    model: OperationsModel


def budget_errors(
    corpus: Path, labels: Path, embeddings: Path, budgets_s: Sequence[float], sample: int, embedder: Embedder
) -> dict[float, Errors]:
    """The errors at each budget; raises InputError for labels that are not of CPU types or not of this corpus."""
    held_out = _hold_out(corpus, labels, embeddings, sample, embedder)
    return {budget_s: errors_of(held_out, runs) for budget_s, runs in _dry_runs(held_out.sources, budgets_s).items()}


def _hold_out(corpus: Path, labels: Path, embeddings: Path, sample: int, embedder: Embedder) -> Held:
    study = read_study(labels)
    if not all(map(is_cpu, study.device_types)):
        raise InputError(
            f"{labels}: labels on {', '.join(study.device_types)}; the dry runs here are those of CPU types"
        )
    if not 0 < sample < len(study.scripts):
        raise InputError(f"--sample must be 1 to {len(study.scripts) - 1}, got {sample}")
    by_hash = {source.content_hash: source for source in map(read_source, sorted(corpus.glob("*.py")))}
    if missing := set(study.scripts) - set(by_hash):
        raise InputError(f"{corpus}: {len(missing)} labelled programs are not in it; write it with pipelines.corpus")
    out = np.isin(np.arange(len(study.scripts)), np.random.default_rng(0).permutation(len(study.scripts))[:sample])
    config = ProbeConfig.default()
    x = torch.cat(list(read_embeddings(embeddings, config.features, study.scripts).values()), dim=1)
    bundle = _probes(study, config, x, ~out[study.script])
    return Held(
        study=study,
        sources=[by_hash[study.scripts[i]] for i in np.flatnonzero(out)],
        predictor=Predictor(bundle, embedder),
        vectors={script: vector.numpy() for script, vector in zip(study.scripts, x, strict=True)},
        model=_device_model(corpus, study, list(by_hash.values()), ~out[study.script]),
    )


def _probes(study: Dataset, config: ProbeConfig, x: Tensor, train: Mask) -> Bundle:
    """The probes of run time and energy on the labels of `train` (N,)."""
    metrics = {}
    for metric in ("runtime_s", "energy_j"):
        values = study.metrics[metric][train]
        (probe,) = fit_probes(config, [study.rows(metric, x, train)], study.device_types, seed=0)
        provenance = {name: str(kind) for name, kind in study.provenance[metric].items()}
        ends = (float(values.min()), float(values.max()))
        metrics[metric] = MetricProbe(probe=probe, provenance=provenance, label_range=ends)
    return Bundle(metrics=metrics)


def _device_model(corpus: Path, study: Dataset, sources: Sequence[Source], train: Mask) -> OperationsModel:
    """The device model on the labels of `train` (N,) whose programs have whole dry runs, intervals as in the bundle."""
    folder = of_bundle(None)
    if folder is None:
        raise InputError("the bundle that comes with kilowait has no device model; fit it with pipelines.devices")
    runs_by_script = features_cache.dry_runs(corpus, sources, "cpu")
    whole = np.array([_whole(runs_by_script.get(script)) for script in study.scripts])[study.script] & train
    scripts, program = np.unique(study.script[whole], return_inverse=True)
    types, device = np.unique(study.device[whole], return_inverse=True)
    runs = [runs_by_script[study.scripts[i]] for i in scripts]
    times = MeasuredTimes(program, device, np.log(study.metrics["runtime_s"][whole]))
    sheets = [Specification.named(study.device_types[j]) for j in types]
    print(f"fitting the device model to {len(runs)} programs: a minute", file=sys.stderr)
    model = DeviceModel.fit(runs, sheets, times, grid=grid_of(runs_by_script.values()))
    return replace(OperationsModel.load(folder), model=model)


def _whole(run: DryRun | None) -> bool:
    return run is not None and run.usable and run.completeness == Completeness.WHOLE


def _dry_runs(sources: Sequence[Source], budgets_s: Sequence[float]) -> dict[float, list[DryRunOutcome]]:
    """Each source under each budget, smallest first; what is whole under one is the same under any larger one."""
    outcomes: dict[float, list[DryRunOutcome]] = {}
    before = [DryRunOutcome(off="not made") for _ in sources]
    for budget_s in sorted(budgets_s):
        with DryRuns(budget_s, "cpu") as dry_runs:
            bar = tqdm(sources, desc=f"dry runs, {budget_s:g} s", unit="program", file=sys.stderr)
            before = [b if b.whole else dry_runs.submit(s).result() for b, s in zip(before, bar, strict=True)]
        outcomes[budget_s] = before
    return outcomes


def errors_of(held: Held, runs: Sequence[DryRunOutcome]) -> Errors:
    """Every label of the sample, predicted as `Predictor.forecast` does it."""
    predictions: dict[str, dict[str, Prediction]] = {}
    for source, outcome in zip(held.sources, runs, strict=True):
        probes = held.predictor.predict_vector(held.vectors[source.content_hash])
        by_device_model = timed(held.model, outcome.usable, probes) if outcome.usable else {}
        predictions[source.content_hash] = probes | by_device_model
    study = held.study
    rows = [n for n, i in enumerate(study.script) if study.scripts[i] in predictions]
    predicted = [
        predictions[study.scripts[study.script[n]]][study.device_types[study.device[n]]].runtime_s for n in rows
    ]
    scores = accuracy(study.metrics["runtime_s"][rows], np.array(predicted))
    return Errors(
        programs=len(held.sources),
        by_dry_run=sum(outcome.usable is not None for outcome in runs),
        outcomes=dict(Counter(str(outcome.to_dict()["outcome"]) for outcome in runs)),
        median_ape=scores.median_ape,
        r2_log=float(scores.r2_log if scores.r2_log is not None else np.nan),
    )

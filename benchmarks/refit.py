"""What learning from finished jobs gains on kinds of programs never seen.

    python -m benchmarks.refit --embeddings out/emb

For each of --folds groups of families the default probe is trained without them. Then --arrive measured jobs of those
families arrive in random order (a job is a script on a device type), a correction learns from them, and everybody is
asked for the remaining jobs. Beside it: the correction without one of its parts, and the probe trained anew on all
labels, old and new, which a site without the old labels cannot do. Run times are measured (data/cpu/README.md),
predictions modelled. The embeddings are those of pipelines.embed over the labelled corpus.

A job that comes again is a second run of the same script on the same type (data/cpu/runs.parquet): the first run
arrives, the second is asked for.
"""

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from rich.console import Console
from tqdm import tqdm

from kilowait.core.jobs import Prediction, Provenance
from kilowait.lab.evaluate.dataset import Dataset, read_embeddings, read_study
from kilowait.live.learning.compare import ALL, NEW, Score, scores
from kilowait.predict.correction.covariance import PARTS
from kilowait.predict.correction.evidence import LIMIT
from kilowait.predict.correction.training import MOST, MeasuredJobs, calibrated, train
from kilowait.predict.probe.probe import ProbeConfig, fit_probes
from kilowait.predict.splits import folds
from kilowait.report.table import TableView, terminal

WITHOUT = {"without source": ("source",), "without nearness": ("near", "near_on_type"), "without types": ("gpu_type",)}
FAILED, UNCUT = "5% off by 100", "5% off by 100, not winsorised"
NAMES = ("base", "corrected", *WITHOUT, FAILED, UNCUT, "retrained probe")
TAIL = 0.25
"""Of the arrived jobs, the newest, that calibrate the intervals."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fold:
    """A fold's labels (m,) as indices, and what the probe without its families expects of every label (N,)."""

    rows: np.ndarray
    expected: np.ndarray


def main(argv: Sequence[str] | None = None) -> int:
    """Print the errors before and after, and what a prediction with a full correction costs."""
    options = _parser().parse_args(argv)
    torch.set_num_threads(1)
    study = read_study(options.labels)
    config = ProbeConfig.default()
    embeddings = read_embeddings(options.embeddings, config.features, study.scripts)
    x = torch.cat([embeddings[key] for key in config.features], dim=1)
    out_of_fold = _folds(study, config, x, options.folds)
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(terminal(_new_kinds(study, config, x, out_of_fold, options)))
    console.print(terminal(_again(study, x, out_of_fold, options)))
    print(_cost(x.shape[1]))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--embeddings", type=Path, required=True, metavar="DIR", help="folder of embedding shards")
    add("--labels", type=Path, default=Path("data/cpu/labels.parquet"), help="(default: %(default)s)")
    add("--runs", type=Path, default=Path("data/cpu/runs.parquet"), help="(default: %(default)s)")
    add("--arrive", type=int, default=100, help="jobs that are learnt from (default: %(default)s)")
    add("--folds", type=int, default=5, help="groups of families (default: %(default)s)")
    add("--repeats", type=int, default=3, help="orders of arrival (default: %(default)s)")
    return parser


def _probe(study: Dataset, config: ProbeConfig, x: torch.Tensor, mask: np.ndarray) -> np.ndarray:
    """What the default probe trained on `mask` (N,) expects of every label (N,), in seconds."""
    (probe,) = fit_probes(config, [study.rows("runtime_s", x, mask)], study.device_types, seed=0)
    return probe.predict(x).numpy()[study.script, study.device].astype(np.float64)


def _folds(study: Dataset, config: ProbeConfig, x: torch.Tensor, count: int) -> list[Fold]:
    fold = folds(study.row_keys(study.families), count, 0)
    return [
        Fold(rows=np.flatnonzero(fold == k), expected=_probe(study, config, x, fold != k))
        for k in tqdm(range(count), unit="probe", file=sys.stderr)
    ]


def _measured(study: Dataset, x: torch.Tensor, rows: np.ndarray, residual: np.ndarray) -> MeasuredJobs:
    return MeasuredJobs(
        gpu_type=tuple(study.device_types[i] for i in study.device[rows]),
        source=tuple(study.scripts[i] for i in study.script[rows]),
        owner=("",) * len(rows),
        vectors=x.numpy()[study.script[rows]],
        runtime=residual,
        energy=np.full(len(rows), np.nan),
    )


def _new_kinds(
    study: Dataset, config: ProbeConfig, x: torch.Tensor, out_of_fold: Sequence[Fold], options: argparse.Namespace
) -> TableView:
    errors: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    family: list[str] = []
    is_new: list[bool] = []
    hits: list[np.ndarray] = []
    for repeat in tqdm(range(options.repeats), unit="order", file=sys.stderr):
        for k, fold in enumerate(out_of_fold):
            rows = np.random.default_rng([repeat, k]).permutation(fold.rows)
            train_rows, test_rows = rows[: options.arrive], rows[options.arrive :]
            residual = np.log(study.metrics["runtime_s"] / fold.expected)
            train_jobs, test_jobs = (_measured(study, x, r, residual[r]) for r in (train_rows, test_rows))
            for name, error in (_errors(train_jobs, test_jobs) | _failed(train_jobs, test_jobs, repeat)).items():
                errors[name].append(error)
            mask = ~np.isin(np.arange(len(residual)), test_rows)
            retrained = _probe(study, config, x, mask)
            errors["retrained probe"].append(np.abs(np.log(study.metrics["runtime_s"] / retrained))[test_rows])
            hits.append(_inside(train_jobs, test_jobs))
            family += [study.families[i] for i in study.script[test_rows]]
            is_new += [name not in set(train_jobs.source) for name in test_jobs.source]
    title = f"{options.arrive} jobs of families that the probe never saw arrive; {len(family)} predictions of the rest"
    note = f"90% intervals of the correction hold {np.concatenate(hits).mean():.1%} of the rest"
    return _table(title, {name: np.concatenate(values) for name, values in errors.items()}, family, is_new, note)


def _errors(train_jobs: MeasuredJobs, test_jobs: MeasuredJobs) -> dict[str, np.ndarray]:
    """|log(measured / predicted)| (m,) of `test_jobs`, by predictor."""
    errors = {"base": np.abs(test_jobs.runtime)}
    for name, without in {"corrected": (), **WITHOUT}.items():
        correction = train(train_jobs, "", without=without)
        mean, _ = correction.residuals(test_jobs.jobs(correction.space))["runtime_s"]
        errors[name] = np.abs(test_jobs.runtime - mean)
    return errors


def _failed(train_jobs: MeasuredJobs, test_jobs: MeasuredJobs, seed: int) -> dict[str, np.ndarray]:
    """Errors after one in twenty of what arrived was off by a factor of 100, up or down, with and without a limit."""
    rng = np.random.default_rng(seed)
    mistakes = np.where(rng.random(len(train_jobs)) < 0.05, np.log(100), 0.0) * rng.choice([-1, 1], len(train_jobs))
    errors = {}
    for name, limit in ((FAILED, LIMIT), (UNCUT, np.inf)):
        correction = train(replace(train_jobs, runtime=train_jobs.runtime + mistakes), "", limit=limit)
        errors[name] = np.abs(
            test_jobs.runtime - correction.residuals(test_jobs.jobs(correction.space))["runtime_s"][0]
        )
    return errors


def _inside(train_jobs: MeasuredJobs, test_jobs: MeasuredJobs) -> np.ndarray:
    """Which intervals hold the measured run time; the older of `train_jobs` teach, the newer ones calibrate."""
    first = round(len(train_jobs) * (1 - TAIL))
    older_jobs, newer_jobs = (train_jobs.where(np.arange(*ends)) for ends in ((0, first), (first, len(train_jobs))))
    recipe = calibrated(train(older_jobs, ""), newer_jobs)
    correction = train(train_jobs, "", like=recipe)
    mean, sd = correction.residuals(test_jobs.jobs(correction.space))["runtime_s"]
    ends = recipe.quantiles["runtime_s"]
    return (test_jobs.runtime >= mean + ends.low * sd) & (test_jobs.runtime <= mean + ends.high * sd)


def _again(study: Dataset, x: torch.Tensor, out_of_fold: Sequence[Fold], options: argparse.Namespace) -> TableView:
    """The first measured run of --arrive jobs teaches, the last run of the same jobs is predicted."""
    runs = pd.read_parquet(options.runs)
    times = runs[runs.exit_code == 0].sort_values("attempt").groupby(["content_hash", "device_type"]).runtime_s
    first, last = times.first(), times.last()
    pairs = [(study.scripts[s], study.device_types[d]) for s, d in zip(study.script, study.device, strict=True)]
    before, after = (np.log([log_times[pair] for pair in pairs]) for log_times in (first, last))
    errors: dict[str, list[np.ndarray]] = {name: [] for name in ("base", "corrected", *WITHOUT)}
    family: list[str] = []
    for k, fold in enumerate(out_of_fold):
        job_rows = np.random.default_rng([7, k]).permutation(fold.rows)[: options.arrive]
        expected = np.log(fold.expected)
        train_jobs, test_jobs = (
            _measured(study, x, job_rows, (log_times - expected)[job_rows]) for log_times in (before, after)
        )
        for name, error in _errors(train_jobs, test_jobs).items():
            errors[name].append(error)
        family += [study.families[i] for i in study.script[job_rows]]
    title = f"The same {options.arrive} jobs come again; {len(family)} predictions of a later run"
    return _table(
        title, {name: np.concatenate(values) for name, values in errors.items()}, family, [False] * len(family), ""
    )


def _table(
    title: str, errors: Mapping[str, np.ndarray], family: Sequence[str], is_new: Sequence[bool], note: str
) -> TableView:
    rows = []
    for name in errors:
        by = {metric: {"base": errors["base"], "candidate": errors[name]} for metric in ("runtime_s",)}
        by["energy_j"] = {"base": np.full(len(family), np.nan), "candidate": np.full(len(family), np.nan)}
        correction_errors = {"base": errors["corrected"], "candidate": errors[name]}
        against_base = scores(by, family, np.array(is_new))
        against_corrected = scores({**by, "runtime_s": correction_errors}, family, np.array(is_new))
        rows += [_row(name, a, b) for a, b in zip(against_base, against_corrected, strict=True)]
    notes = (
        "Error is |log(measured / predicted)| of run times; changes are of its mean, with 95% intervals over families.",
    )
    return TableView(
        title=title,
        headings=("predictor", "asked for", "jobs", "median error", "mean", "against base", "against corrected"),
        rows=tuple(rows),
        provenance=Provenance.MEASURED,
        notes=(*notes, *([note] if note else [])),
    )


def _row(name: str, base: Score, corrected: Score) -> tuple[str, ...]:
    kind = {ALL: "all", NEW: "of new scripts"}[base.jobs_kind]
    numbers = (f"{base.median['candidate']:.3f}", f"{base.mean['candidate']:.3f}")
    return (name, kind, str(base.jobs), *numbers, _change(base), _change(corrected))


def _change(score: Score) -> str:
    return "-" if score.difference == 0 else f"{score.difference:+.3f} [{score.low:+.3f}, {score.high:+.3f}]"


def _cost(numbers: int) -> str:
    """What a prediction with a full correction costs, on vectors drawn at random."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(MOST, numbers)).astype(np.float32)
    names = tuple(map(str, range(MOST)))
    jobs = MeasuredJobs(
        gpu_type=tuple(rng.choice(["A", "B"], MOST)),
        source=names,
        owner=names,
        vectors=vectors,
        runtime=rng.normal(size=MOST),
        energy=rng.normal(size=MOST),
    )
    began_s = time.perf_counter()
    correction = train(jobs, "").ready()
    trained_s, predictions = time.perf_counter() - began_s, {t: Prediction(runtime_s=1.0, energy_kwh=1.0) for t in "AB"}
    spans_s = []
    for vector in vectors[:50]:
        began_s = time.perf_counter()
        correction.apply(predictions, source="new", owner="", vector=vector)
        spans_s.append(time.perf_counter() - began_s)
    return (
        f"{MOST} measured jobs of {MOST} sources, {len(PARTS)} parts: learnt in {trained_s:.1f} s, "
        f"applied to two types in {1e3 * float(np.median(spans_s)):.1f} ms (measured, one thread)"
    )


if __name__ == "__main__":
    sys.exit(main())

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
    found = read_embeddings(options.embeddings, config.features, study.scripts)
    x = torch.cat([found[key] for key in config.features], dim=1)
    held = _folds(study, config, x, options.folds)
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(terminal(_new_kinds(study, config, x, held, options)))
    console.print(terminal(_again(study, x, held, options)))
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
    study: Dataset, config: ProbeConfig, x: torch.Tensor, held: Sequence[Fold], options: argparse.Namespace
) -> TableView:
    errors: dict[str, list[np.ndarray]] = {name: [] for name in NAMES}
    family: list[str] = []
    fresh: list[bool] = []
    inside: list[np.ndarray] = []
    for repeat in tqdm(range(options.repeats), unit="order", file=sys.stderr):
        for k, fold in enumerate(held):
            rows = np.random.default_rng([repeat, k]).permutation(fold.rows)
            arrived, rest = rows[: options.arrive], rows[options.arrive :]
            residual = np.log(study.metrics["runtime_s"] / fold.expected)
            learnt, asked = (_measured(study, x, r, residual[r]) for r in (arrived, rest))
            for name, error in (_errors(learnt, asked) | _failed(learnt, asked, repeat)).items():
                errors[name].append(error)
            mask = ~np.isin(np.arange(len(residual)), rest)
            anew = _probe(study, config, x, mask)
            errors["retrained probe"].append(np.abs(np.log(study.metrics["runtime_s"] / anew))[rest])
            inside.append(_inside(learnt, asked))
            family += [study.families[i] for i in study.script[rest]]
            fresh += [name not in set(learnt.source) for name in asked.source]
    title = f"{options.arrive} jobs of families that the probe never saw arrive; {len(family)} predictions of the rest"
    note = f"90% intervals of the correction hold {np.concatenate(inside).mean():.1%} of the rest"
    return _table(title, {name: np.concatenate(found) for name, found in errors.items()}, family, fresh, note)


def _errors(learnt: MeasuredJobs, asked: MeasuredJobs) -> dict[str, np.ndarray]:
    """|log(measured / predicted)| (m,) of the jobs asked for."""
    found = {"base": np.abs(asked.runtime)}
    for name, without in {"corrected": (), **WITHOUT}.items():
        correction = train(learnt, "", without=without)
        mean, _ = correction.residuals(asked.jobs(correction.space))["runtime_s"]
        found[name] = np.abs(asked.runtime - mean)
    return found


def _failed(learnt: MeasuredJobs, asked: MeasuredJobs, seed: int) -> dict[str, np.ndarray]:
    """Errors after one in twenty of what arrived was off by a factor of 100, up or down, with and without a limit."""
    rng = np.random.default_rng(seed)
    off = np.where(rng.random(len(learnt)) < 0.05, np.log(100), 0.0) * rng.choice([-1, 1], len(learnt))
    found = {}
    for name, limit in ((FAILED, LIMIT), (UNCUT, np.inf)):
        correction = train(replace(learnt, runtime=learnt.runtime + off), "", limit=limit)
        found[name] = np.abs(asked.runtime - correction.residuals(asked.jobs(correction.space))["runtime_s"][0])
    return found


def _inside(learnt: MeasuredJobs, asked: MeasuredJobs) -> np.ndarray:
    """Which intervals hold: the older arrived jobs teach, the newer ones calibrate, as in a refit."""
    first = round(len(learnt) * (1 - TAIL))
    older, newer = (learnt.where(np.arange(*ends)) for ends in ((0, first), (first, len(learnt))))
    recipe = calibrated(train(older, ""), newer)
    made = train(learnt, "", like=recipe)
    mean, sd = made.residuals(asked.jobs(made.space))["runtime_s"]
    ends = recipe.quantiles["runtime_s"]
    return (asked.runtime >= mean + ends.low * sd) & (asked.runtime <= mean + ends.high * sd)


def _again(study: Dataset, x: torch.Tensor, held: Sequence[Fold], options: argparse.Namespace) -> TableView:
    """The first measured run of --arrive jobs teaches, the last run of the same jobs is asked for."""
    runs = pd.read_parquet(options.runs)
    by = runs[runs.exit_code == 0].sort_values("attempt").groupby(["content_hash", "device_type"]).runtime_s
    first, last = by.first(), by.last()
    pairs = [(study.scripts[s], study.device_types[d]) for s, d in zip(study.script, study.device, strict=True)]
    before, after = (np.log([of[pair] for pair in pairs]) for of in (first, last))
    errors: dict[str, list[np.ndarray]] = {name: [] for name in ("base", "corrected", *WITHOUT)}
    family: list[str] = []
    for k, fold in enumerate(held):
        arrived = np.random.default_rng([7, k]).permutation(fold.rows)[: options.arrive]
        expected = np.log(fold.expected)
        learnt, asked = (_measured(study, x, arrived, (of - expected)[arrived]) for of in (before, after))
        for name, error in _errors(learnt, asked).items():
            errors[name].append(error)
        family += [study.families[i] for i in study.script[arrived]]
    title = f"The same {options.arrive} jobs come again; {len(family)} predictions of a later run"
    return _table(
        title, {name: np.concatenate(found) for name, found in errors.items()}, family, [False] * len(family), ""
    )


def _table(
    title: str, errors: Mapping[str, np.ndarray], family: Sequence[str], fresh: Sequence[bool], note: str
) -> TableView:
    rows = []
    for name in errors:
        by = {who: {"base": errors["base"], "candidate": errors[name]} for who in ("runtime_s",)}
        by["energy_j"] = {"base": np.full(len(family), np.nan), "candidate": np.full(len(family), np.nan)}
        against = {"base": errors["corrected"], "candidate": errors[name]}
        mine = scores(by, family, np.array(fresh))
        other = scores({**by, "runtime_s": against}, family, np.array(fresh))
        rows += [_row(name, a, b) for a, b in zip(mine, other, strict=True)]
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
    measured = MeasuredJobs(
        gpu_type=tuple(rng.choice(["A", "B"], MOST)),
        source=names,
        owner=names,
        vectors=vectors,
        runtime=rng.normal(size=MOST),
        energy=rng.normal(size=MOST),
    )
    began_s = time.perf_counter()
    made = train(measured, "").ready()
    trained_s, seen = time.perf_counter() - began_s, {t: Prediction(runtime_s=1.0, energy_kwh=1.0) for t in "AB"}
    spent = []
    for vector in vectors[:50]:
        began_s = time.perf_counter()
        made.apply(seen, source="new", owner="", vector=vector)
        spent.append(time.perf_counter() - began_s)
    return (
        f"{MOST} measured jobs of {MOST} sources, {len(PARTS)} parts: learnt in {trained_s:.1f} s, "
        f"applied to two types in {1e3 * float(np.median(spent)):.1f} ms (measured, one thread)"
    )


if __name__ == "__main__":
    sys.exit(main())

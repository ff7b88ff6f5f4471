"""Find a probe's settings: `kilowait lab tune-probe --labels L --embeddings DIR --out DIR`.

A Ray Tune trial is one configuration, cross-validated fold by fold; ASHA ends it after a few folds when others did
better on as many, and Optuna proposes the next. The objective is the root mean square error of the logarithm of
the run time over scripts (or groups) that were held out.

The winner was chosen on these folds: report its accuracy with pipelines.train on another seed, not from here.
"""

import argparse
import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from tqdm import tqdm

from kilowait.core.arrays import IntArray
from kilowait.core.closed_ray import connected
from kilowait.core.errors import InputError
from kilowait.core.started import command_name
from kilowait.files import columns, parquet
from kilowait.lab.evaluate.cross_validation import Inputs, out_of_fold, probe_recipe
from kilowait.lab.evaluate.dataset import embedding_keys, read_embeddings, read_study
from kilowait.predict.splits import folds

from .space import SearchSpace, config_of, vectors

EXAMPLE = """examples:
  kilowait lab tune-probe --labels data/labels/labels.parquet --embeddings out/embeddings --out out/tune --samples 60
  kilowait lab tune-probe --labels L.parquet --embeddings DIR --out out/tune --resume    # after an interruption
  kilowait lab tune-probe --labels L.parquet --embeddings DIR --out out/smoke --smoke    # four trials, three folds
"""
NAME = "probe"
GRACE_FOLDS = 2
"""Folds every trial may finish before ASHA compares it."""
SHOWN = 10


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    p = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.probe", "kilowait lab tune-probe"),
        description="Search the settings of the run-time probe: kind, vectors, widths, rates, regularisation.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = p.add_argument
    add("--labels", required=True, type=Path, help="label table (Parquet)")
    add("--embeddings", required=True, type=Path, metavar="DIR", help="folder of shards; each feature key is an option")
    add("--out", type=Path, default=Path("out/tune"), metavar="DIR", help="(default: %(default)s)")
    add("--samples", type=int, default=40, metavar="N", help="configurations to try (default: %(default)s)")
    add("--folds", type=int, default=5, help="folds of each trial's cross-validation (default: %(default)s)")
    add("--by", choices=("script", "group"), default="group", help="what a fold keeps whole (default: %(default)s)")
    add("--kinds", default="mlp,kernel", help="kinds of probe to search (default: %(default)s)")
    add("--metric", default="runtime_s", help="label to predict (default: %(default)s)")
    add("--concurrency", type=int, default=os.cpu_count() or 1, help="trials at once (default: a core each)")
    add("--seed", type=int, default=0, help="of folds, networks and search (default: %(default)s)")
    add("--resume", action="store_true", help="insist on continuing what DIR holds (it is continued anyway if there)")
    add("--fresh", action="store_true", help="forget what DIR holds and start again")
    add("--smoke", action="store_true", help="four short trials of three folds, to see that everything is in place")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    args = parser().parse_args(argv)
    try:
        run(args)
    except InputError as error:
        print(f"tuning.probe: {error}", file=sys.stderr)
        return 2
    return 0


def run(args: argparse.Namespace) -> None:
    """Search, write DIR/trials.parquet and DIR/best.json, and print the best trials."""
    if args.smoke:
        args.samples, args.folds = 4, 3
    if min(args.samples, args.concurrency) < 1:
        raise InputError(f"--samples and --concurrency must be >= 1, got {args.samples} and {args.concurrency}")
    inputs, keys = _inputs(args)
    study = inputs.study
    fold = folds(study.row_keys(study.scripts if args.by == "script" else study.groups), args.folds, args.seed)
    _check_settings(args, _settings(args, keys, study.digest))
    rows = sorted(_search(args, inputs, keys, fold), key=_rank)
    if not rows or rows[0]["log_rmse"] is None:
        raise InputError(f"no trial of {args.out} finished a fold; see its errors under {args.out / 'ray'}")
    parquet.write_table(parquet.table(rows, columns.PROBE_TRIALS), args.out / "trials.parquet")
    (args.out / "best.json").write_text(str(rows[0]["config"]) + "\n", encoding="utf-8")
    print(_text(rows, args))


def _inputs(args: argparse.Namespace) -> tuple[Inputs, list[str]]:
    study = read_study(args.labels)
    if args.metric not in study.metrics:
        raise InputError(f"--metric {args.metric}: {args.labels} has {', '.join(study.metrics)}")
    if not study.measured[args.metric].any():
        raise InputError(f"--metric {args.metric}: none of its labels is measured; nothing to tune against")
    keys = embedding_keys(args.embeddings)
    return Inputs(study=study, embeddings=read_embeddings(args.embeddings, keys, study.scripts), texts=()), keys


def _settings(args: argparse.Namespace, keys: Sequence[str], labels: str) -> dict[str, Any]:
    """What decides the outcome of a trial: an experiment goes on under the same settings only."""
    arguments = {name: getattr(args, name) for name in ("samples", "folds", "by", "kinds", "metric", "seed", "smoke")}
    return {**arguments, "features": list(keys), "labels_sha256": labels}


def _check_settings(args: argparse.Namespace, settings: Mapping[str, Any]) -> None:
    """Clear DIR for --fresh, and refuse to go on with an experiment of other settings."""
    path = args.out / "settings.json"
    if args.fresh:
        shutil.rmtree(args.out / "ray", ignore_errors=True)
        path.unlink(missing_ok=True)
    if not path.exists():
        if args.resume:
            raise InputError(f"--resume: {args.out} holds no search; start one without --resume")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(settings, indent=1) + "\n", encoding="utf-8")
    before = json.loads(path.read_text(encoding="utf-8"))
    changed_names = [name for name in settings if before.get(name) != settings[name]]
    if changed_names:
        raise InputError(
            f"{args.out} holds a search with other settings ({', '.join(changed_names)}); "
            "give another --out, the same settings, or --fresh to start again"
        )


def _search(args: argparse.Namespace, inputs: Inputs, keys: Sequence[str], fold: IntArray) -> list[dict[str, Any]]:
    """Run or finish the experiment; a row of columns.PROBE_TRIALS for each trial."""
    with connected(ray, "local", logging_level=logging.ERROR):
        grid = _tuner(args, inputs, keys, fold).fit()
    return [_row(grid[i]) for i in range(len(grid))]


def _tuner(args: argparse.Namespace, inputs: Inputs, keys: Sequence[str], fold: IntArray) -> tune.Tuner:
    """A new Tuner, or the one that an interrupted run left behind."""
    trainable = tune.with_parameters(evaluate_trial, inputs=inputs, fold=fold, metric=args.metric, seed=args.seed)
    storage = (args.out / "ray").resolve()
    if tune.Tuner.can_restore(str(storage / NAME)):
        return tune.Tuner.restore(str(storage / NAME), trainable, resume_unfinished=True, restart_errored=True)
    kinds = tuple(kind.strip() for kind in args.kinds.split(","))
    search = OptunaSearch(SearchSpace(vectors(keys), kinds, args.smoke), metric="log_rmse", mode="min", seed=args.seed)
    return tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=ASHAScheduler(metric="log_rmse", mode="min", max_t=args.folds, grace_period=GRACE_FOLDS),
            num_samples=args.samples,
            max_concurrent_trials=args.concurrency,
        ),
        run_config=tune.RunConfig(name=NAME, storage_path=str(storage), verbose=0, callbacks=[TrialBar(args.samples)]),
    )


class TrialBar(tune.Callback):
    """A progress bar over trials, which opens anew where an interrupted experiment goes on."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._bar: tqdm[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Ray saves callbacks with the experiment, and a terminal cannot be saved."""
        return {"_total": self._total, "_done": self._done, "_bar": None}

    def get_state(self) -> dict[str, Any]:
        """Ray Tune's hook: what to keep for a restored experiment."""
        return {"done": self._done}

    def set_state(self, state: dict[str, Any]) -> None:
        """Ray Tune's hook: an experiment was restored."""
        self._done = state["done"]
        if self._bar is not None:
            self._bar.update(self._done - int(self._bar.n))

    def setup(self, stop: Any = None, num_samples: Any = None, total_num_samples: Any = None, **info: Any) -> None:
        """Ray Tune's hook: the experiment starts or goes on."""
        self._bar = tqdm(total=self._total, initial=self._done, desc="probe", unit="trial", file=sys.stderr)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Ray Tune's hook."""
        self._done += 1
        if self._bar is not None:
            self._bar.update()

    def on_experiment_end(self, trials: list[Any], **info: Any) -> None:
        """Ray Tune's hook."""
        if self._bar is not None:
            self._bar.close()


def evaluate_trial(drawn: Mapping[str, Any], inputs: Inputs, fold: IntArray, metric: str, seed: int) -> None:
    """The trainable: reports after every fold the errors over all folds so far."""
    torch.set_num_threads(1)
    recipe = probe_recipe(config_of(drawn), seed=seed)
    errors: list[float] = []
    for k in range(int(fold.max()) + 1):
        predicted = out_of_fold(recipe, inputs, metric, np.where(fold == k, 0, -1))
        mask = np.isfinite(predicted) & inputs.study.measured[metric]
        errors += np.log(predicted[mask] / inputs.study.metrics[metric][mask]).tolist()
        ratio = np.array(errors)
        tune.report(
            {"log_rmse": float(np.sqrt((ratio**2).mean())), "median_ape": float(np.median(np.abs(np.exp(ratio) - 1)))}
        )


def _row(result: Any) -> dict[str, Any]:
    metrics, config = result.metrics or {}, dict(result.config or {})
    return {
        "trial": metrics.get("trial_id") or hashlib.sha256(str(result.path).encode()).hexdigest()[:8],
        "kind": config.get("kind"),
        "features": config.get("features"),
        "folds": metrics.get("training_iteration", 0),
        "log_rmse": metrics.get("log_rmse"),
        "median_ape": metrics.get("median_ape"),
        "seconds": metrics.get("time_total_s"),
        "drawn": json.dumps(config, sort_keys=True),
        "config": json.dumps(asdict(config_of(config))) if config else None,
        "error": None if result.error is None else str(result.error).splitlines()[-1],
    }


def _rank(row: Mapping[str, Any]) -> tuple[bool, int, float]:
    """Trials that saw every fold come first, then the smaller error."""
    missing = row["log_rmse"] is None
    return missing, -row["folds"], 0.0 if missing else row["log_rmse"]


def _text(rows: Sequence[Mapping[str, Any]], args: argparse.Namespace) -> str:
    failed = sum(row["error"] is not None for row in rows)
    lines = [
        f"{len(rows)} trials ({failed} failed), {args.folds} folds by {args.by}; best by log RMSE of {args.metric}:",
        f"{'folds':>5}  {'log RMSE':>8}  {'median APE':>10}  parameters",
    ]
    for row in rows[:SHOWN]:
        if row["log_rmse"] is not None:
            numbers = f"{row['folds']:>5}  {row['log_rmse']:>8.4f}  {row['median_ape']:>10.1%}"
            lines.append(f"{numbers}  {row['drawn']}")
    return "\n".join([*lines, f"wrote {args.out / 'trials.parquet'} and {args.out / 'best.json'}"])


if __name__ == "__main__":
    sys.exit(main())

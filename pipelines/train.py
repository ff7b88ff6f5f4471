"""Train the probes, and say how good they are: kilowait lab train --help.

Writes accuracy.json, accuracy.csv (one row a split and model), accuracy_by_device.csv, accuracy_by_family.csv and
residuals.parquet to --out, prints the first table, and trains the final bundle on every label, with its model card.
"""

import argparse
import platform
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from kilowait import __version__
from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.started import command_name
from kilowait.lab.evaluate.cross_validation import Inputs, out_of_fold
from kilowait.lab.evaluate.dataset import Dataset, embedded_scripts, read_embeddings, read_study, read_texts
from kilowait.predict.device_model.calibration import coverage
from kilowait.predict.operations import of_bundle
from kilowait.predict.probe import bundle as bundles
from kilowait.predict.probe.doubt import KNOWN, NEW, Doubt
from kilowait.predict.probe.probe import ProbeConfig, fit_probes
from kilowait.predict.splits import FOLDS, folds, holdout

from .cards import probe_card, write_card
from .evaluate.answer_cache import PredictionCache
from .evaluate.recipes import DEFAULT, NAMES, QUICK, NamedRecipe, default_config, parse_recipes
from .evaluate.scoring import FLOOR, SPLITS, Line, as_text, counts, flat, residual_rows, score, write_tables

EXAMPLE = f"""\
example:
  kilowait lab train --labels data/labels/labels.parquet --embeddings out/embeddings \\
      --corpus out/corpus --out out/train --bundle-out out/bundle

Recipes (--recipes, comma-separated; NAME@FEATURES uses other vectors, e.g. paper@mean:6:raw):
{chr(10).join(f"  {name:<12} {what}" for name, what in NAMES.items())}

A metric that was not measured on a device type (energy on a CPU is power times time) trains a probe and is left
out of every accuracy table. What a prediction costs is measured by python -m benchmarks.prediction, whose --card
writes it into the bundle's model card. Finished evaluations are remembered in OUT/.finished: a killed run resumes.
"""


LEAST_SCRIPTS = 20
"""Fewer do not show a share of 5% false alarms."""
Kept = dict[str, dict[str, FloatArray]]
"""Predictions out of fold (N,) by metric and split."""
Coverage = dict[str, dict[str, float]]
"""Of 90% intervals, by metric and kind of program."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exits with 2 for a mistake in what was given."""
    args = _parser().parse_args(argv)
    try:
        return run(args)
    except KilowaitError as error:
        print(f"pipelines.train: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.train", "kilowait lab train"),
        description="Train probes on labels and embeddings and report their accuracy beside baselines.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--labels", required=True, type=Path, help="label table (Parquet)")
    add("--embeddings", required=True, type=Path, metavar="DIR", help="folder of embedding shards")
    add("--corpus", type=Path, metavar="DIR", help="corpus folder; needed by the bag of words")
    add("--out", required=True, type=Path, metavar="DIR", help="tables go here")
    add("--bundle-out", type=Path, metavar="DIR", help="train the final bundle on all labels and write it here")
    add("--folds", type=int, default=FOLDS, help="folds of the cross-validations (default: %(default)s)")
    add("--recipes", default=",".join(DEFAULT), help=f"what to compare (default: {','.join(DEFAULT)})")
    add("--quick", action="store_true", help="leave out the paper's recipe, whose networks take minutes")
    add("--features", metavar="KEY,...", help="feature configurations of the default probe")
    add("--embedded-only", action="store_true", help="leave out labelled scripts that have no embedding")
    add("--seed", type=int, default=0, help="of splits and networks (default: 0)")
    add("--device", default="cpu", help="where networks train: cpu or cuda (default: cpu)")
    add("--fresh", action="store_true", help="forget finished evaluations and repeat them")
    return parser


def run(args: argparse.Namespace) -> int:
    """Evaluate every recipe under every split, then train the bundle."""
    recipes = parse_recipes(
        ",".join(QUICK) if args.quick and args.recipes == ",".join(DEFAULT) else args.recipes,
        features=args.features,
        seed=args.seed,
        device=args.device,
    )
    config = default_config(args.features)
    if dry := [recipe.name for recipe in recipes if recipe.needs_dry_runs]:
        raise InputError(f"--recipes: {', '.join(dry)} read dry runs; compare them with kilowait lab evaluate")
    study = _study(args, config)
    inputs = _inputs(study, recipes, config, args)
    splits = _splits(study, config.test_share, args.folds, args.seed)
    memory = PredictionCache(args.out / ".finished", inputs, fresh=args.fresh)
    lines, residuals, predictions = _evaluate(inputs, recipes, splits, memory)
    write_tables(args.out, study, lines, residuals, {"folds": args.folds, "seed": args.seed})
    print(as_text(study, lines))
    if args.bundle_out:
        doubt, covered = _doubt(inputs, config, predictions, splits)
        bundle = _final_bundle(inputs, config, lines, args)
        bundle = replace(bundle, doubt=doubt, accuracy={**bundle.accuracy, "coverage90": covered})
        fitted = of_bundle(args.bundle_out)
        version = bundles.save(bundle, args.bundle_out)
        if fitted:
            print(
                f"{fitted} is gone with the old bundle; fit it anew: kilowait lab devices --corpus DIR "
                f"--labels {args.labels} --out {fitted} (it reads no embedding: with the same labels a copy will do)",
                file=sys.stderr,
            )
        write_card(args.bundle_out, probe_card(bundle, version))
        print(f"probe {version} trained on {len(study.script)} labels, written to {args.bundle_out}")
    return 0


def _study(args: argparse.Namespace, config: ProbeConfig) -> Dataset:
    """All labels, or with --embedded-only those of scripts that have the default probe's vectors."""
    study = read_study(args.labels)
    if not args.embedded_only:
        return study
    embedded = read_study(args.labels, only=embedded_scripts(args.embeddings, config.features))
    print(f"using {len(embedded.scripts)} of {len(study.scripts)} labelled scripts: those embedded", file=sys.stderr)
    return embedded


def _inputs(study: Dataset, recipes: Sequence[NamedRecipe], config: ProbeConfig, args: argparse.Namespace) -> Inputs:
    keys = {key for recipe in recipes for key in recipe.features}
    if args.bundle_out:
        keys |= set(config.features)
    needs_texts = any(recipe.needs_texts for recipe in recipes)
    if needs_texts and args.corpus is None:
        raise InputError("--corpus is needed for the bag of words; give it, or leave the bag out of --recipes")
    return Inputs(
        study=study,
        embeddings=read_embeddings(args.embeddings, sorted(keys), study.scripts) if keys else {},
        texts=read_texts(args.corpus, study.scripts) if needs_texts else (),
    )


def _splits(study: Dataset, share: float, count: int, seed: int) -> dict[str, IntArray]:
    by_script, by_group = study.row_keys(study.scripts), study.row_keys(study.groups)
    assignments = (holdout(by_script, share, seed), folds(by_script, count, seed), folds(by_group, count, seed))
    return dict(zip(SPLITS, assignments, strict=True))


def _evaluate(
    inputs: Inputs, recipes: Sequence[NamedRecipe], splits: dict[str, IntArray], memory: PredictionCache
) -> tuple[list[Line], list[dict[str, object]], Kept]:
    """Every line of every table, the residuals of the default probe by script, and its predictions by split."""
    lines: list[Line] = []
    predictions: Kept = {}
    residuals: list[dict[str, object]] = []
    metrics = [m for m, mask in inputs.study.measured.items() if mask.any()]
    todo = [(metric, split, recipe) for metric in metrics for split in splits for recipe in recipes]
    for metric, split, recipe in (bar := tqdm(todo, unit="model", file=sys.stderr)):
        bar.set_description(f"{metric}, {split}, {recipe.name}")
        fold = splits[split]
        predicted = memory.recall(recipe, metric, fold, partial(out_of_fold, recipe.recipe, inputs, metric, fold))
        lines += score(inputs.study, metric, split, recipe.name, predicted)
        if recipe.name == "default":
            predictions.setdefault(metric, {})[split] = predicted
            residuals += residual_rows(inputs.study, metric, predicted) if split == SPLITS[1] else ()
    for metric in metrics:
        for split, fold in splits.items():
            tested = np.where((fold >= 0) & np.isfinite(inputs.study.spread), 1.0, np.nan)
            if metric == "runtime_s":  # spread is of run times
                lines += score(inputs.study, metric, split, FLOOR, tested)
    return lines, residuals, predictions


def _doubt(
    inputs: Inputs, config: ProbeConfig, predictions: Kept, splits: dict[str, IntArray]
) -> tuple[Doubt | None, Coverage]:
    """The default probe's intervals for known and new kinds, and their coverage by the quantiles of other folds.

    None where the probe was not evaluated or there is too little to say.
    """
    study = inputs.study
    if not predictions or len(set(study.families)) < 2 or len(study.scripts) < LEAST_SCRIPTS:
        return None, {}
    residuals: dict[str, dict[str, tuple[FloatArray, IntArray]]] = {}
    covered: Coverage = {}
    for metric, by_split in predictions.items():
        for kind, split in ((KNOWN, SPLITS[1]), (NEW, SPLITS[2])):
            mask = study.measured[metric] & np.isfinite(by_split[split])
            rows = np.log(study.metrics[metric][mask] / by_split[split][mask]), study.script[mask]
            residuals.setdefault(metric, {})[kind] = rows
            covered.setdefault(metric, {})[kind] = coverage(*rows, splits[split][mask])
    return Doubt.fit(residuals, inputs.x(config.features), study.families, study.scripts), covered


def _final_bundle(
    inputs: Inputs, config: ProbeConfig, lines: Sequence[Line], args: argparse.Namespace
) -> bundles.Bundle:
    """One probe a metric on every label there is."""
    study, x = inputs.study, inputs.x(config.features)
    metrics = {}
    for metric, values in study.metrics.items():
        mask = np.isfinite(values)
        rows = study.rows(metric, x, mask)
        (probe,) = fit_probes(config, [rows], study.device_types, seed=args.seed, device=args.device)
        metrics[metric] = bundles.MetricProbe(
            probe=probe,
            provenance={device: str(kind) for device, kind in study.provenance[metric].items()},
            label_range=(float(values[mask].min()), float(values[mask].max())),
        )
    default = [flat(line) for line in lines if line.model == "default" and line.family == "all"]
    versions = {"kilowait": __version__, "torch": torch.__version__, "python": platform.python_version()}
    training = {"labels_sha256": study.digest, "seed": args.seed, **counts(study)}
    return bundles.Bundle(metrics=metrics, training=training, accuracy={"rows": default}, versions=versions)


if __name__ == "__main__":
    sys.exit(main())

"""How accuracy grows with the number of labelled programs, by what is read: kilowait lab curve --help."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.jobs import Provenance
from kilowait.core.started import command_name
from kilowait.lab.evaluate.cross_validation import Inputs
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.predict.accuracy import accuracy
from kilowait.predict.splits import FOLDS, folds
from kilowait.report.figures import curve_figure

from .evaluate.answer_cache import AnswerFiles
from .evaluate.inputs import load, read_corpus
from .evaluate.recipes import NamedRecipe, parse_recipes

READS = {
    "default": "embedding (default probe)",
    "ridge@embedding": "embedding (ridge)",
    "ridge@static": "static features (ridge)",
    "ridge@run": "sums of the dry run (ridge)",
    "operations": "device model on the dry run",
    "combined": "combined: device model, else embedding",
}
"""The recipes that are compared unless others are named, as the figure calls them."""
KEPT = ("group", "program", "family")
EXAMPLE = """\
examples:
  kilowait lab curve --corpus out/kernelbench --sizes 25,50,100,150,180 --out out/curve_kernelbench
  kilowait lab curve --corpus out/corpus --labels data/cpu/labels.parquet --by program \\
      --sizes 25,50,100,200,300,460 --out out/curve_ours

Each fold's model sees that many programs, drawn from the other folds (a larger draw holds the smaller); all of their
labels, on every device type. The recipes are those of pipelines.evaluate; the default ones read the embedding alone,
the syntax tree alone, or the dry run. --out keeps curve.json, the figure curve.svg, and every trained model's answers:
the same command started again, or on more sizes, takes up where it was. All times of labels are measured, all
predictions modelled; intervals are 95% bootstraps over programs.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exits with 2 for a mistake in what was given."""
    args = _parser().parse_args(argv)
    try:
        return run(args)
    except KilowaitError as error:
        print(f"pipelines.curve: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.curve", "kilowait lab curve"),
        description="Score recipes trained on few programs and on more.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--corpus", required=True, type=Path, metavar="DIR", help="corpus folder, with its manifest")
    add("--labels", type=Path, metavar="FILE", help="labels, if not the corpus's own (ours: data/cpu/labels.parquet)")
    add("--recipes", default=",".join(READS), help=f"as in kilowait lab evaluate (default: {','.join(READS)})")
    add("--sizes", default="25,50,100,150", help="training programs (default: 25,50,100,150)")
    add("--device", help="score this device type alone")
    add("--folds", type=int, default=FOLDS, help="folds of the cross-validation (default: %(default)s)")
    add(
        "--by",
        choices=KEPT,
        default="group",
        help="what stays in one fold (default: %(default)s)",
    )
    add("--seed", type=int, default=0, help="of folds and draws (default: 0)")
    add("--json", action="store_true", help="print one JSON list instead of a table")
    add("--out", type=Path, metavar="DIR", help="write curve.json and curve.svg here, and keep models' answers")
    return parser


def run(args: argparse.Namespace) -> int:
    """Train every recipe on every size and print."""
    recipes = parse_recipes(args.recipes, features=None, seed=args.seed, device="cpu")
    inputs = load([read_corpus(args.corpus, args.labels)], recipes).inputs
    study = inputs.study
    together = {"group": study.groups, "program": study.scripts, "family": study.families}[args.by]
    inputs = replace(inputs, together=together)
    if args.out:
        answers = AnswerFiles(args.out / ".answers", inputs)
        recipes = [answers.of(recipe) for recipe in recipes]
    fold = folds(study.row_keys(together), args.folds, args.seed)
    mask = _scored(study, args.device)
    sizes = [int(text) for text in args.sizes.split(",")]
    masks = {size: training(study, fold, size, args.seed) for size in sizes}
    rows = [
        {"programs": size, "recipe": name, **_scores(study, predicted, mask, args.seed)}
        for size, name, predicted in _predictions(recipes, inputs, masks, fold)
    ]
    if args.out:
        _write(args.out, rows, f"{args.folds}-fold by {args.by}, {_where(study, mask)}")
    print(json.dumps(rows) if args.json else _text(rows))
    return 0


def _predictions(
    recipes: Sequence[NamedRecipe], inputs: Inputs, masks: dict[int, list[Mask]], fold: IntArray
) -> Iterator[tuple[int, str, FloatArray]]:
    """Out-of-fold predictions (N,) by size and recipe; each model is kept as soon as it is there."""
    total = len(recipes) * sum(len(size_masks) for size_masks in masks.values())
    with tqdm(total=total, unit="model", file=sys.stderr) as bar:
        for size, of_folds in masks.items():
            for recipe in recipes:
                bar.set_description(f"{recipe.name}, {size} programs")
                out = np.full(len(fold), np.nan)
                for k, mask in enumerate(of_folds):
                    (answer,) = recipe.recipe(inputs, "runtime_s", [mask])
                    out[fold == k] = answer.predicted[fold == k]
                    bar.update()
                yield size, recipe.name, out


def training(study: Dataset, fold: IntArray, size: int, seed: int) -> list[Mask]:
    """For each fold the labels (N,) of `size` programs of the other folds, nested: a larger size keeps the smaller.

    Raises InputError when the other folds have fewer programs.
    """
    masks = []
    for k in range(int(fold.max()) + 1):
        training_scripts = np.unique(study.script[fold != k])
        if not 2 <= size <= len(training_scripts):
            raise InputError(f"--sizes: {size} programs, but the folds that train have 2 to {len(training_scripts)}")
        sample = np.random.default_rng([seed, k]).permutation(training_scripts)[:size]
        masks.append(np.isin(study.script, sample) & (fold != k))
    return masks


def _scored(study: Dataset, device: str | None) -> Mask:
    """The labels (N,) that count; raises InputError for a device type without labels."""
    if device is not None and device not in study.device_types:
        raise InputError(f"--device {device}: not labelled; there are {', '.join(study.device_types)}")
    mask: Mask = study.measured["runtime_s"] & np.isfinite(study.metrics["runtime_s"])
    if device is not None:
        mask &= study.device == study.device_types.index(device)
    return mask


def _scores(study: Dataset, predicted: FloatArray, mask: Mask, seed: int) -> dict[str, Any]:
    truth, predictions = study.metrics["runtime_s"][mask], predicted[mask]
    scores = accuracy(truth, predictions)
    low, high = _interval(np.abs(predictions - truth) / truth, study.script[mask], seed)
    return {"n": scores.n, "mdape": scores.median_ape, "low": low, "high": high, "r2_log": scores.r2_log}


def _interval(ape: FloatArray, script: IntArray, seed: int, draws: int = 500) -> tuple[float, float]:
    """The 95% bootstrap interval of the median error, whole programs drawn."""
    rng = np.random.default_rng(seed)
    of_script = [ape[script == i] for i in np.unique(script)]
    picks = rng.integers(0, len(of_script), (draws, len(of_script)))
    medians = [float(np.median(np.concatenate([of_script[i] for i in pick]))) for pick in picks]
    low, high = np.quantile(medians, [0.025, 0.975])
    return float(low), float(high)


def _where(study: Dataset, mask: Mask) -> str:
    types = [study.device_types[i] for i in np.unique(study.device[mask])]
    return f"{len(study.scripts)} programs on {', '.join(types)}"


def _write(out: Path, rows: Sequence[dict[str, Any]], split: str) -> None:
    """curve.json and curve.svg in the folder `out`."""
    record = {"split": split, "predictions": Provenance.MODELLED, "labels": Provenance.MEASURED, "rows": rows}
    (out / "curve.json").write_text(json.dumps(record, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    lines: dict[str, list[tuple[float, ...]]] = {}
    for row in rows:
        name = READS.get(row["recipe"], row["recipe"])
        lines.setdefault(name, []).append((row["programs"], row["mdape"], row["low"], row["high"]))
    note = f"{split}; predictions {Provenance.MODELLED}, labels {Provenance.MEASURED}; bars: 95% bootstrap"
    drawing = curve_figure({name: np.array(points) for name, points in lines.items()}, note)
    (out / "curve.svg").write_text(drawing, encoding="utf-8")


def _text(rows: Sequence[dict[str, Any]]) -> str:
    """A line a size and recipe, the lowest median error of each size starred."""
    best = {
        size: min(row["mdape"] for row in rows if row["programs"] == size) for size in (r["programs"] for r in rows)
    }
    lines = [f"{'programs':>8}  {'recipe':<16}{'labels':>7}{'median APE':>12}{'95%':>18}{'R2 of log':>11}"]
    lines += [
        f"{row['programs']:>8}  {row['recipe']:<16}{row['n']:>7}{row['mdape']:>11.1%}"
        f"{'*' if row['mdape'] == best[row['programs']] else ' '}"
        f"{'[{low:.1%}, {high:.1%}]'.format(**row):>18}{row['r2_log']:>11.3f}"
        for row in rows
    ]
    return "\n".join([*lines, "* the lowest median error of that size; predictions modelled, labels measured"])


if __name__ == "__main__":
    sys.exit(main())

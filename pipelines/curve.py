"""How accuracy grows with the number of labelled programs: python -m pipelines.curve --help."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from kilowait.errors import InputError, KilowaitError
from kilowait.predict.accuracy import accuracy
from kilowait.predict.dataset import Study
from kilowait.predict.splits import folds
from pipelines.evaluate_data import OUR_LABELS, load, read_corpus
from pipelines.recipes import parse_recipes

EXAMPLE = """\
example:
  python -m pipelines.curve --corpus out/kernelbench --device A100 --sizes 25,50,100,150 \\
      --recipes operations,default,bag

Each fold's model sees that many programs, drawn from the other folds; all of their labels, on every device type. The
recipes are those of pipelines.evaluate: `default` reads the embedding alone, `bag` the text alone, `operations` the dry
run alone, which makes the table an ablation too.
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
        prog="python -m pipelines.curve",
        description="Score recipes trained on few programs and on more.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--corpus", required=True, type=Path, metavar="DIR", help="corpus folder, with its manifest")
    add("--labels", type=Path, metavar="FILE", help=f"labels, if not the corpus's own (ours: {OUR_LABELS})")
    add("--recipes", default="operations,default,bag", help="as in pipelines.evaluate")
    add("--sizes", default="25,50,100,150", help="training programs (default: 25,50,100,150)")
    add("--device", help="score this device type alone")
    add("--folds", type=int, default=10, help="folds of the cross-validation (default: 10)")
    add("--seed", type=int, default=0, help="of folds and draws (default: 0)")
    add("--json", action="store_true", help="print one JSON list instead of a table")
    return parser


def run(args: argparse.Namespace) -> int:
    """Train every recipe on every size and print."""
    recipes = parse_recipes(args.recipes, features=None, seed=args.seed, device="cpu")
    inputs = load([read_corpus(args.corpus, args.labels)], recipes).inputs
    study = inputs.study
    fold = folds(study.row_keys(study.groups), args.folds, args.seed)
    rows = []
    for size in tqdm([int(text) for text in args.sizes.split(",")], unit="size", file=sys.stderr):
        masks = training(study, fold, size, args.seed)
        for recipe in recipes:
            answers = recipe.recipe(inputs, "runtime_s", masks)
            predicted = np.choose(fold, [answer.predicted for answer in answers])
            rows.append({"programs": size, "recipe": recipe.name, **_scores(study, predicted, args.device)})
    print(json.dumps(rows) if args.json else _text(rows))
    return 0


def training(study: Study, fold: NDArray[np.int64], size: int, seed: int) -> list[NDArray[np.bool_]]:
    """For each fold the labels (N,) of `size` programs of the other folds, nested: a larger size keeps the smaller.

    Raises InputError when the other folds have fewer programs.
    """
    masks = []
    for k in range(int(fold.max()) + 1):
        others = np.unique(study.script[fold != k])
        if not 2 <= size <= len(others):
            raise InputError(f"--sizes: {size} programs, but the folds that train have 2 to {len(others)}")
        drawn = np.random.default_rng([seed, k]).permutation(others)[:size]
        masks.append(np.isin(study.script, drawn) & (fold != k))
    return masks


def _scores(study: Study, predicted: NDArray[np.float64], device: str | None) -> dict[str, float | None]:
    if device is not None and device not in study.device_types:
        raise InputError(f"--device {device}: not labelled; there are {', '.join(study.device_types)}")
    mask = study.measured["runtime_s"] & np.isfinite(study.metrics["runtime_s"])
    if device is not None:
        mask &= study.device == study.device_types.index(device)
    got = accuracy(study.metrics["runtime_s"][mask], predicted[mask])
    return {"n": got.n, "mdape": got.median_ape, "r2_log": got.r2_log}


def _text(rows: Sequence[dict[str, object]]) -> str:
    lines = [f"{'programs':>8}  {'recipe':<14}{'labels':>7}{'mdape':>8}{'r2_log':>8}"]
    lines += [
        f"{row['programs']:>8}  {row['recipe']:<14}{row['n']:>7}{row['mdape']:>8.3f}{row['r2_log']:>8.3f}"
        for row in rows
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

"""Score predictors on programs they have not seen: kilowait lab evaluate --help."""

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.started import command_name
from kilowait.files.columns import LABELS
from kilowait.files.parquet import read_table
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.lab.evaluate.held_out import CHUNK, HeldOut, held_out
from kilowait.lab.evaluate.rounds import Round, anchored_rounds, device_rounds, fold_rounds, transfer_rounds
from kilowait.predict.splits import FOLDS, folds

from . import error_summary
from .answer_cache import AnswerFiles
from .inputs import OUR_LABELS, Corpus, Data, divided, drift, load, on_devices, read_corpus
from .left_out_steps import add_baseline_options, compare_left_out
from .presentation import Report, as_text, write
from .recipes import COMPARED, NAMES, OWN, NamedRecipe, parse_recipes
from .step_scoring import add_step_options, score_steps

EXAMPLE = f"""\
examples:
  kilowait lab evaluate --dataset kernelbench --corpus out/kernelbench --json
  kilowait lab evaluate --dataset ours --corpus out/corpus --out out/evaluation
  kilowait lab evaluate --train out/kernelbench --test out/level3 --json
  kilowait lab evaluate --train out/corpus --train-labels data/cpu/labels.parquet \\
      --test out/composites --test-labels data/cpu_composites/labels.parquet --out out/composed   # composite tasks
  kilowait lab evaluate --dataset kernelbench --corpus out/kernelbench --leave-out device
  kilowait lab evaluate --steps lambda.csv.gz --programs data/steps --python ~/packages/bin/python --json
  kilowait lab evaluate --steps timm.csv.gz lambda.csv.gz --programs data/steps --baselines --results out/baselines.json
  kilowait lab evaluate --dataset ours --corpus out/corpus --by family --folds 5 --out out/sets \\
      --recipes combined,combined+forest,forest,forest@embedding,forest@run,forest@static   # an ablation

Folds keep groups (all versions of a program; in kilowait's own corpus all programs of a family) together, and nothing
is chosen on a test fold. With --by program only equal texts stay together, with --by family whole families. Splits:
--leave-out family (a kind of program that no model has seen), --leave-out device (neither the type nor the fold's
programs were seen; at most 5 folds), --leave-out device --anchored (the program was measured on all the other
types). With --train and --test, programs of both, and versions of them, are left out of training. Where the machine's
speed may have changed between the two, --again tells by how much: tables follow with tested times divided by the median
ratio (--json prints those; --out writes what was measured).

--json prints one object, of the first recipe (default: {OWN}): {{"devices": {{NAME: scores}}, "overall": scores}},
scores being r2_log (R2 of log time), mdape and mape (median and mean |predicted - measured| / measured), spearman,
coverage90, width90, n, and the same of programs measured over 1 ms under "over_1ms". null is undefined.
coverage90  share of measured times inside the 90% prediction interval (CV+ conformal, calibrated without the test
            fold, 5% aimed at below and 5% above)
width90     mean over the rows of log10(upper end / lower end): 0.3 is a factor of two between the ends, 1 of ten

Recipes (--recipes, comma-separated; NAME@FEATURES uses other vectors):
{chr(10).join(f"  {name:<12} {what}" for name, what in NAMES.items())}

Vectors and dry runs that are missing are computed and kept in the corpus folder, in .features. With --out every trained
model's answers are kept there, in .answers: the same command started again, or on more recipes, takes up where it was.
Code is not part of what a kept answer is known by: use --fresh after changing a recipe. All times of labels are
measured, all predictions modelled.
"""
KEPT: dict[str, Callable[[Dataset], Sequence[str]]] = {
    "group": lambda study: study.groups,
    "program": lambda study: study.scripts,
    "family": lambda study: study.families,
}
NEW_DEVICE_FOLDS = 5
"""A new type's intervals are calibrated on one fold of programs, which must be 19 at least for finite ends."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exits with 2 for a mistake in what was given."""
    args = _parser().parse_args(argv)
    try:
        return run(args)
    except KilowaitError as error:
        print(f"pipelines.evaluate: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_name(str(__package__), "kilowait lab evaluate"),
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--dataset", choices=["kernelbench", "ours"], help="where labels are: in the corpus folder, or data/cpu")
    add("--corpus", type=Path, metavar="DIR", help="corpus folder of --dataset, with its manifest")
    add("--labels", type=Path, metavar="FILE", help="other labels of that corpus (Parquet)")
    add("--train", type=Path, metavar="DIR", help="learn from this corpus")
    add("--train-labels", type=Path, metavar="FILE", help="labels of --train, if not the corpus's own")
    add("--test", type=Path, metavar="DIR", help="and score on this one")
    add("--test-labels", type=Path, metavar="FILE", help="labels of --test, if not the corpus's own")
    add(
        "--again", type=Path, metavar="FILE", help="labels of --train's programs, measured again beside those of --test"
    )
    add("--recipes", help=f"what to score (default: {','.join(COMPARED)}; with --json and no --out {OWN} alone)")
    add("--devices", metavar="T,T", help="learn and score labels on these device types alone, with --dataset")
    add("--metric", default="runtime_s", help="measured metric to predict (default: runtime_s)")
    add("--leave-out", choices=["family", "device"], help="hold out whole families or device types")
    add("--anchored", action="store_true", help="with --leave-out device: programs are known from the other types")
    add("--folds", type=int, default=FOLDS, help="folds of the cross-validation (default: %(default)s)")
    add("--by", choices=[*KEPT], default="group", help="what stays in one fold (default: group)")
    add("--seed", type=int, default=0, help="of folds and networks (default: 0)")
    add("--pair", default="A100,A6000", metavar="A,B", help="which of two types is faster (default: A100,A6000)")
    add("--json", action="store_true", help="print one JSON object instead of tables")
    add("--out", type=Path, metavar="DIR", help="write evaluation.json, .csv, .html and predictions.parquet here")
    add("--fresh", action="store_true", help="train every model anew, also those that --out remembers")
    add_step_options(parser)
    add_baseline_options(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Score every recipe and print."""
    if args.steps:
        if not args.programs:
            raise InputError("--steps needs --programs DIR: what the rows are times of")
        return compare_left_out(args) if args.baselines else score_steps(args)
    if args.baselines or args.operators or args.results:
        raise InputError("--baselines, --operators and --results go with --steps FILE and --programs DIR")
    corpora = _corpora(args)
    quick = OWN if args.json and not args.out else ",".join(COMPARED)
    recipes = parse_recipes(args.recipes or quick, features=None, seed=args.seed, device="cpu")
    data = load(corpora, recipes)
    study = data.inputs.study
    together = KEPT["family" if args.leave_out == "family" else args.by](study)
    data = replace(data, inputs=replace(data.inputs, together=together))
    if data.dropped:
        print(f"left out of training: {data.dropped} labels of programs that are tested, or versions", file=sys.stderr)
    if args.metric not in study.metrics or not study.measured[args.metric].any():
        raise InputError(f"--metric {args.metric}: no measured label; there are {', '.join(_measured(study))}")
    split, rounds = _rounds(data, args)
    if args.out:
        answers = AnswerFiles(args.out / ".answers", data.inputs, fresh=args.fresh)
        recipes = [answers.of(recipe) for recipe in recipes]
    by_recipe = {recipe.name: _held_out(recipe, data, rounds, args) for recipe in recipes}
    report = Report(
        study=study, metric=args.metric, split=split, found=by_recipe, pair=_pair(args.pair), seed=args.seed
    )
    if args.out:
        print(f"written to {write(report, args.out)}", file=sys.stderr)
    reports = [report, *([_evened(report, data, args)] if args.again else [])]
    print(json.dumps(_json(reports[-1]), allow_nan=False) if args.json else "\n".join(map(as_text, reports)))
    return 0


def _json(report: Report) -> dict[str, object]:
    first = next(iter(report.found.values()))
    return error_summary.summary(report.study, report.metric, first)


def _measured(study: Dataset) -> list[str]:
    return [metric for metric, measured in study.measured.items() if measured.any()]


def _corpora(args: argparse.Namespace) -> list[Corpus]:
    """The one corpus of --dataset, or those of --train and --test."""
    if args.train or args.test:
        if not (args.train and args.test) or args.dataset or args.leave_out:
            raise InputError("--train DIR --test DIR go together, and with neither --dataset nor --leave-out")
        if args.devices is not None:
            raise InputError("--devices goes with --dataset and --corpus, not with --train and --test")
        if args.again and args.metric != "runtime_s":
            raise InputError(f"--again divides run times: it does not go with --metric {args.metric}")
        if args.again:
            _drift(args)  # a mistake in it shows before hours of training
        return [read_corpus(args.train, args.train_labels), read_corpus(args.test, args.test_labels)]
    if args.train_labels or args.test_labels or args.again:
        raise InputError("--train-labels, --test-labels and --again go with --train DIR --test DIR")
    if not (args.dataset and args.corpus):
        raise InputError("give --dataset kernelbench|ours with --corpus DIR, or --train DIR with --test DIR")
    if args.anchored and args.leave_out != "device":
        raise InputError("--anchored is about a new device type: give it with --leave-out device")
    corpus = read_corpus(args.corpus, args.labels or (OUR_LABELS if args.dataset == "ours" else None))
    return [corpus if args.devices is None else on_devices(corpus, [d.strip() for d in args.devices.split(",")])]


def _drift(args: argparse.Namespace) -> Mapping[str, Sequence[float]]:
    """How many times as long the programs of --again took, by device type, ascending."""
    return drift(read_table(args.again, LABELS), read_corpus(args.train, args.train_labels).labels)


def _evened(report: Report, data: Data, args: argparse.Namespace) -> Report:
    """The report with tested run times divided by how much slower the machine was, as --again tells."""
    ratios = _drift(args)
    for device, values in ratios.items():
        print(
            f"{device}: {len(values)} programs measured again took {statistics.median(values):.3f} times as long "
            f"(median; {values[0]:.3f} to {values[-1]:.3f})",
            file=sys.stderr,
        )
    study = divided(report.study, {device: statistics.median(values) for device, values in ratios.items()}, data.tested)
    return replace(report, study=study, split=f"{report.split}, its times over the medians of --again")


def _rounds(data: Data, args: argparse.Namespace) -> tuple[str, list[Round]]:
    """What the split is called, and its rounds."""
    study = data.inputs.study
    groups = np.array(study.row_keys(KEPT[args.by](study)))
    if data.tested is not None:
        fold = np.full(len(groups), -1, dtype=np.int64)
        fold[~data.tested] = folds(list(groups[~data.tested]), args.folds, args.seed)
        return "another corpus", list(transfer_rounds(data.tested, fold))
    if args.leave_out == "family":
        names = sorted(set(study.families))
        if len(names) < 3:  # one to leave out, one to calibrate on, one to fit
            raise InputError(f"--leave-out family needs 3 families at least, got {', '.join(names)}")
        family = np.array([names.index(name) for name in study.row_keys(study.families)], dtype=np.int64)
        return f"each of {len(names)} families held out", list(fold_rounds(family))
    if args.leave_out == "device" and len(study.device_types) < 3:  # one to leave out, one to calibrate on, one to fit
        raise InputError(f"--leave-out device needs 3 device types at least, got {', '.join(study.device_types)}")
    if args.anchored:
        return "each device type held out, programs known from the others", list(anchored_rounds(study.device))
    if args.leave_out == "device":
        fold = folds(list(groups), min(args.folds, NEW_DEVICE_FOLDS), args.seed)
        return "each device type and the fold's programs held out", list(device_rounds(study.device, fold))
    return f"{args.folds}-fold by {args.by}", list(fold_rounds(folds(list(groups), args.folds, args.seed)))


def _held_out(recipe: NamedRecipe, data: Data, rounds: Sequence[Round], args: argparse.Namespace) -> HeldOut:
    by_device = args.leave_out != "device" and not data.new_types
    with tqdm(desc=recipe.name, unit="model", file=sys.stderr, leave=False) as bar:
        return held_out(
            recipe.recipe,
            data.inputs,
            args.metric,
            rounds,
            calibrate=not recipe.slow,
            by_device=by_device,
            together=1 if recipe.alone else CHUNK,
            on_models=_moving(bar),
        )


def _moving(bar: "tqdm[object]") -> Callable[[int, int], None]:
    def move(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return move


def _pair(text: str) -> tuple[str, str]:
    names = [part.strip() for part in text.split(",")]
    if len(names) != 2 or names[0] == names[1]:
        raise InputError(f"--pair takes two device types like A100,A6000, got {text!r}")
    return names[0], names[1]

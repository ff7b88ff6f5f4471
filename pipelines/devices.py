"""Fit the device model on an imported corpus: kilowait lab devices --help.

Writes to --out: model.safetensors, model.json (nothing is unpickled) and MODEL_CARD.md.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.hardware import add_gpu_file_option
from kilowait.core.started import command_name
from kilowait.files.columns import RESIDUALS
from kilowait.files.parquet import table, write_table
from kilowait.lab.corpus.styles import STYLES
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.lab.evaluate.operation_times import Programs, by_operations, device_model_of
from kilowait.lab.evaluate.rounds import Round, device_rounds, fold_rounds
from kilowait.predict.accuracy import Accuracy, accuracy
from kilowait.predict.device_model import model_files
from kilowait.predict.device_model.calibration import Calibration, Quantiles, coverage
from kilowait.predict.device_model.learned_weights import MeasuredTimes
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.dryrun.record import Completeness
from kilowait.predict.splits import FOLDS, folds

from .cards import device_card, write_card
from .evaluate.inputs import Corpus, programs_of, read_corpus, study_of_corpus
from .evaluate.scoring import residual_rows

EXAMPLE = """\
example:
  kilowait lab devices --corpus out/kernelbench --out kilowait/data/device_model
  kilowait predict train.py --device all --device-model kilowait/data/device_model
  kilowait lab devices --corpus out/corpus --labels data/cpu/labels.parquet --folds 5 \\
      --out kilowait/data/bundle/operations

The labels are measured run times on GPU types of the catalogue (kilowait/data/gpus.toml), as `kilowait
lab corpus --import kernelbench` writes them, or on CPU types (cpu-N). A folder named operations in a bundle
predicts its device types wherever a program's dry run is whole. Dry runs that are missing are made and kept in the
corpus' .features folder. Errors and intervals are out of fold: no program, nor another version of it, is in the
training of the model that predicts it; for a new type neither is the type. 200 programs take about five minutes on one
core, 516 training scripts fifteen.
"""
MODEL = "operations"
"""The name of the device model among others' residuals."""
NEW_TYPE_FOLDS = 5
SOURCES = {"kernelbench": ("KernelBench (Ouyang et al. 2025, github.com/ScalingIntelligence/KernelBench)", "MIT")}
SOURCES |= dict.fromkeys(STYLES, ("generated training scripts of kilowait (pipelines.corpus)", "that of kilowait"))
"""By the style of a corpus: what its run times are, and their licence."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exits with 2 for a mistake in what was given."""
    args = _parser().parse_args(argv)
    try:
        return run(args)
    except KilowaitError as error:
        print(f"pipelines.devices: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.devices", "kilowait lab devices"),
        description="Fit the device model on measured run times of many GPU types, with intervals and a model card.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--corpus", required=True, type=Path, metavar="DIR", help="corpus folder")
    add("--labels", type=Path, metavar="FILE", help="label table (default: labels.parquet in the corpus folder)")
    add("--out", required=True, type=Path, metavar="DIR", help="the model's folder; what is there is replaced")
    add("--folds", type=int, default=FOLDS, help="folds of programs (default: %(default)s)")
    add("--residuals", type=Path, metavar="FILE", help="write errors out of fold here, for kilowait lab backtest")
    add_gpu_file_option(parser)
    add("--seed", type=int, default=0, help="of the folds (default: 0)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Score out of fold, calibrate, fit on everything, write."""
    corpus = read_corpus(args.corpus, args.labels)
    study = study_of_corpus(corpus)
    programs = programs_of(corpus, study)
    seen, new = scored(study, programs, args.folds, args.seed)
    calibration = Calibration(measured=seen.quantiles, new=new.quantiles)
    if args.residuals:
        rows = residual_rows(study, "runtime_s", seen.predicted, MODEL)
        args.residuals.parent.mkdir(parents=True, exist_ok=True)
        write_table(table(list(rows), RESIDUALS), args.residuals)
    model = _fitted(study, programs)
    training = {**_provenance(corpus, study, programs, args), **_errors(study, seen, new)}
    version = model_files.save(model, args.out, {**training, "calibration": calibration.to_dict()})
    write_card(args.out, device_card(model, version, training, calibration))
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"device model {version}, {size / 1e3:,.0f} kB, written to {args.out}")
    for name, part in (("types it was fitted on", seen), ("new types", new)):
        print(
            f"{name}: median error {part.accuracy.median_ape:.1%}, mean {part.accuracy.mape:.1%}, "
            f"R2 of log time {part.accuracy.r2_log:.3f}, coverage {part.coverage:.1%} of {part.accuracy.n} labels"
        )
    return 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """Out-of-fold predictions of the rows `tested` (N,), with their errors and the quantiles of their residuals."""

    predicted: FloatArray
    tested: Mask
    accuracy: Accuracy
    quantiles: Quantiles
    coverage: float


def scored(study: Dataset, programs: Programs, count: int, seed: int) -> tuple[Scored, Scored]:
    """How well programs that are new are predicted on the types of training, and on types that are new as well."""
    groups = study.row_keys(study.groups)
    fold = folds(groups, count, seed)
    known_rounds = list(fold_rounds(fold))
    new_type_fold = folds(groups, min(count, NEW_TYPE_FOLDS), seed)
    new_rounds = list(device_rounds(study.device, new_type_fold))
    with tqdm(total=len(known_rounds) + len(new_rounds), desc="out of fold", unit="model", file=sys.stderr) as bar:
        return _scored(study, programs, known_rounds, fold, bar), _scored(
            study, programs, new_rounds, new_type_fold, bar, new=True
        )


def _scored(
    study: Dataset,
    programs: Programs,
    rounds: Sequence[Round],
    fold: IntArray,
    bar: "tqdm[Any]",
    *,
    new: bool = False,
) -> Scored:
    """`new` says that the rounds test types without labels."""
    predicted, sigma = np.full(len(fold), np.nan), np.full(len(fold), np.nan)
    whole_runs = _whole(study, programs)
    for round_ in rounds:
        tested = round_.tested & whole_runs
        if tested.any():
            (answer,) = by_operations(programs, study, "runtime_s", [round_.train])
            predicted[tested], sigma[tested] = answer.predicted[tested], answer.sigma[tested]
        bar.update()
    rows = np.isfinite(predicted)
    truth, program = study.metrics["runtime_s"][rows], study.script[rows]
    scores = (np.log(truth) - np.log(predicted[rows])) / sigma[rows]
    device = study.device[rows] if new else None
    return Scored(
        predicted=predicted,
        tested=rows,
        accuracy=accuracy(truth, predicted[rows]),
        quantiles=Quantiles.of(scores, program, device),
        coverage=coverage(scores, program, fold[rows], device),
    )


def _whole(study: Dataset, programs: Programs) -> Mask:
    """The rows (N,) whose program has a whole dry run: the only ones that are learned from."""
    runs = [programs.usable(script) for script in study.scripts]
    whole = np.array([run is not None and run.completeness == Completeness.WHOLE for run in runs])
    return np.asarray(whole[study.script])


def _fitted(study: Dataset, programs: Programs) -> DeviceModel:
    """The model of every label whose program has a whole dry run."""
    mask = _whole(study, programs)
    scripts, program = np.unique(study.script[mask], return_inverse=True)
    types, device = np.unique(study.device[mask], return_inverse=True)
    usable_runs = [programs.usable(study.scripts[i]) for i in scripts]
    return device_model_of(
        programs,
        [run for run in usable_runs if run is not None],
        [programs.sheet(study.device_types[j]) for j in types],
        MeasuredTimes(program, device, np.log(study.metrics["runtime_s"][mask])),
    )


def _provenance(corpus: Corpus, study: Dataset, programs: Programs, args: argparse.Namespace) -> dict[str, Any]:
    """Which run times, whose, and which were left out."""
    style = corpus.labels["style"][0].as_py()
    source, licence = SOURCES.get(style, (f"a corpus of style {style!r}", "not stated"))
    mask = _whole(study, programs)
    labels = {name: int((mask & (study.device == j)).sum()) for j, name in enumerate(study.device_types)}
    return {
        "labels_sha256": study.digest,
        "source": source,
        "licence": licence,
        "style": style,
        "families": sorted(set(study.families)),
        "programs": len(set(study.script[mask].tolist())),
        "left_out": len(study.scripts) - len(set(study.script[mask].tolist())),
        "labels": labels,
        "folds": args.folds,
        "new_type_folds": min(args.folds, NEW_TYPE_FOLDS),
        "seed": args.seed,
    }


def _errors(study: Dataset, seen: Scored, new: Scored) -> dict[str, Any]:
    return {"out_of_fold": {"measured": _errors_of(study, seen), "new": _errors_of(study, new)}}


def _errors_of(study: Dataset, part: Scored) -> dict[str, Any]:
    """Errors of all rows and of each type."""
    truth = study.metrics["runtime_s"]
    by_type = {}
    for j, name in enumerate(study.device_types):
        rows = part.tested & (study.device == j)
        if rows.any():
            by_type[name] = _row(accuracy(truth[rows], part.predicted[rows]))
    return {**_row(part.accuracy), "coverage90": part.coverage, "by_type": by_type}


def _row(scores: Accuracy) -> dict[str, Any]:
    return {"n": scores.n, "mdape": scores.median_ape, "mape": scores.mape, "r2_log": scores.r2_log}


if __name__ == "__main__":
    sys.exit(main())

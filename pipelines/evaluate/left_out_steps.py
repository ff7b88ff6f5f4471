"""Measured steps left out in turn, the device model beside baselines: `kilowait lab evaluate --steps ... --baselines`.

Kinds of network, whole sources and GPU types are left out as in `kilowait lab steps`, and every predictor learns from
the same labels and is asked for the same ones. One table, a row a group and predictor; the order of boards is over
pairs of types that one program was measured on, whose times differ by more than a tenth.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from kilowait.core.arrays import FloatArray
from kilowait.files.atomic import write_text
from kilowait.lab.steps.labelled_steps import LabelledStep
from kilowait.lab.steps.step_baselines import STEP_BASELINES, StepBaseline
from kilowait.lab.steps.step_models import StepFit
from kilowait.lab.steps.step_rounds import StepRound, step_rounds
from kilowait.lab.steps.step_scores import PredictedSteps, StepScore, as_table, step_scores
from kilowait.lab.steps.step_validation import FOLDS, digest, validated
from kilowait.lab.steps.step_works import StepWorks

from ..steps import labels_of

OURS = "kilowait"
KNOWN = f"{OURS}, its hosts known"
"""For the boards of a source whose other steps were learned from: more than `kilowait calibrate` knows of a board."""


def add_baseline_options(parser: argparse.ArgumentParser) -> None:
    """The options of steps that are left out."""
    group = parser.add_argument_group("measured steps left out, beside baselines (with --steps and --programs)")
    add = group.add_argument
    add(
        "--baselines", action="store_true", help="fit on all but families, sources, types in turn; score all predictors"
    )
    add("--operators", type=Path, metavar="FILE", help="a table of measured single operators to learn from too")
    add("--results", type=Path, metavar="FILE", help="write that table here too, as JSON")


def compare_left_out(args: argparse.Namespace) -> int:
    """Leave out, predict by every predictor, score and print."""
    labels = labels_of(args)
    rows = compared(labels, args.seed, args.cache)
    result = {
        "labels_sha256": digest(labels),
        "folds": FOLDS,
        "seed": args.seed,
        "scores": [{"predictor": predictor, **score.to_dict()} for predictor, score in rows],
    }
    text = json.dumps(result, indent=None if args.json else 1, allow_nan=False)
    if args.results:
        write_text(args.results, text + "\n")
    print(text if args.json else as_table([score for _, score in rows], [predictor for predictor, _ in rows]))
    return 0


def compared(labels: Sequence[LabelledStep], seed: int, kept: Path) -> list[tuple[str, StepScore]]:
    """Predictors and their scores, group by group; what the device model's rounds came to stays in folder `kept`."""
    rounds = [one for novelty, count in FOLDS.items() for one in step_rounds(labels, novelty, count, seed)]
    validation = validated(labels, StepFit(), seed, kept, lambda text: print(f"left out: {text}", file=sys.stderr))
    names = [*validation.errors.group]
    together = [name.partition(":")[0] for name in names]
    asked, works = validation.steps, StepWorks.of(labels)
    by_predictor = {OURS: asked}
    for name, baseline in STEP_BASELINES.items():
        by_predictor[name] = _answered(asked, baseline, works, rounds, name)
    found = [
        (predictor, score)
        for predictor, steps in by_predictor.items()
        for groups in (together, names)
        for score in _scores(steps, groups)
    ]
    at_home = validation.steps_at_home(asked)
    found += [
        (KNOWN, score)
        for groups in (together, names)
        for score in _scores(at_home, [name for name, home in zip(groups, validation.home, strict=True) if home])
    ]
    order = {name: place for place, name in enumerate([*dict.fromkeys(together), *dict.fromkeys(names)])}
    return sorted(found, key=lambda row: order[row[1].group])


def _answered(
    asked: PredictedSteps, baseline: StepBaseline, works: StepWorks, rounds: Sequence[StepRound], name: str
) -> PredictedSteps:
    """A baseline's answers to the same questions, without intervals."""
    answers = [baseline(works, one.train, one.tested) for one in tqdm(rounds, desc=name, file=sys.stderr, delay=5)]
    nothing: FloatArray = np.full(len(asked.measured), np.nan)
    return replace(asked, predicted=np.concatenate(answers), low=nothing, high=nothing)


def _scores(steps: PredictedSteps, groups: Sequence[str]) -> Iterator[StepScore]:
    """Of the questions that were answered, a score a group."""
    answered = np.isfinite(steps.predicted)
    if answered.any():
        names = [name for name, is_answered in zip(groups, answered, strict=True) if is_answered]
        yield from step_scores(steps.taken(answered), names)[:-1]

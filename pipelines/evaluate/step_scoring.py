"""Score measured steps of any source by a fitted device model: `kilowait lab evaluate --steps FILE --programs DIR`.

FILE is a CSV with a row a step (source, model, mode, precision, batch, gpu, n_gpus, step_ms, samples_per_s and what the
programs' arguments name), DIR holds their programs and `steps.json`, which says which program a row is of:

    {"programs": [{"match": {"source": ["mine"]}, "files": ["step.py"], "arguments": ["{model}", "{batch}"]}]}

A program is one step, on inputs that are on the GPU already. Rows on several GPUs, of types that no catalogue has, and
without a time or a program are left out, and counted.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from kilowait.core.errors import InputError
from kilowait.lab.steps.labelled_steps import LabelledStep, of_steps
from kilowait.lab.steps.measured_steps import read_steps
from kilowait.lab.steps.step_dry_runs import step_dry_runs
from kilowait.lab.steps.step_models import predictions_of
from kilowait.lab.steps.step_programs import StepPrograms
from kilowait.lab.steps.step_scores import PredictedSteps, StepScore, as_table, step_scores
from kilowait.lab.steps.step_selection import ChosenStep, chosen_steps, with_programs
from kilowait.predict.interpreter import OWN, choose
from kilowait.predict.operations import OperationsModel


def add_step_options(parser: argparse.ArgumentParser) -> None:
    """The options of scoring steps."""
    group = parser.add_argument_group("measured steps, by a model that is fitted already")
    add = group.add_argument
    add("--steps", nargs="+", type=Path, metavar="FILE", help="tables of measured steps")
    add("--programs", type=Path, metavar="DIR", help="their programs, with steps.json")
    add("--device-model", type=Path, metavar="DIR", help="a fitted device model (default: the one of the package)")
    add("--python", metavar="PYTHON", help="the interpreter with the programs' packages (default: this one)")
    add("--cache", type=Path, default=Path("out/steps"), metavar="DIR", help="where dry runs are kept (%(default)s)")
    add("--budget-s", type=float, default=30.0, help="CPU seconds of a dry run (default: %(default)s)")
    add("--unsafe", action="store_true", help="run programs without a sandbox, where there is none")
    add("--drawn", action="store_true", help="only the programs that a fit draws, as steps.json and --seed say")


def score_steps(args: argparse.Namespace) -> int:
    """Run dry, predict, compare and print."""
    labels = _labels(args)
    if not labels:
        raise InputError("--steps: no row has a time on one GPU of a known type and a program with a whole dry run")
    model = OperationsModel.load(args.device_model) if args.device_model else _shipped()
    scores = scored(model, labels)
    found = {"device_model": model.version, "scores": [score.to_dict() for score in scores]}
    print(json.dumps(found, allow_nan=False) if args.json else as_table(scores))
    return 0


def scored(model: OperationsModel, labels: Sequence[LabelledStep]) -> list[StepScore]:
    """A score of each source, of each kind of its steps, and of all.

    Boards of a source that the model learned from are taken for that source's own.
    """
    known = {board.source for board in model.model.devices}
    log_s, sigma = np.empty(len(labels)), np.empty(len(labels))
    for is_known in (False, True):
        rows = np.array([(label.source in known) == is_known for label in labels])
        part = [label for label, taken in zip(labels, rows, strict=True) if taken]
        if part:
            told = predictions_of(model.model, part, anonymous=not is_known)
            log_s[rows], sigma[rows] = told.log_s, np.sqrt(told.doubts @ np.array(model.model.doubt))
    ends = [
        model.calibration.ends(seconds, doubt, new=label.gpu not in model.measured, whole=True)
        for label, seconds, doubt in zip(labels, np.exp(log_s).tolist(), sigma.tolist(), strict=True)
    ]
    low, high = np.array(ends).T
    measured = np.array([label.seconds for label in labels])
    steps = PredictedSteps(
        measured=measured,
        predicted=np.exp(log_s),
        low=low,
        high=high,
        program=[label.origin for label in labels],
        board=[label.gpu for label in labels],
    )
    kinds = step_scores(steps, [f"{label.source} | {label.kind}" for label in labels])[:-1]
    return [*kinds, *step_scores(steps, [label.source for label in labels])]


def _labels(args: argparse.Namespace) -> list[LabelledStep]:
    programs, labels = StepPrograms.read(args.programs), []
    interpreter = choose(python=args.python) if args.python else OWN
    for path in args.steps:
        steps = read_steps(path)
        chosen = with_programs(steps, programs)
        chosen = chosen_steps(chosen, args.seed) if args.drawn else chosen
        runs = step_dry_runs(
            [one.program.program for one in chosen],
            args.cache,
            budget_s=args.budget_s,
            unsafe=args.unsafe,
            interpreter=interpreter,
        )
        labels += of_steps(chosen, runs)
        _say_left_out(path, len(steps), chosen, {name: run.reason for name, run in runs.items() if run.reason})
    return labels


def _say_left_out(path: Path, rows: int, chosen: Sequence[ChosenStep], reasons: dict[str, str]) -> None:
    print(f"{path}: {len(chosen)} of {rows} rows with a time are scored", file=sys.stderr)
    for reason, count in Counter(reasons.values()).most_common(5):
        print(f"  {count} programs have no whole dry run: {reason[:200]}", file=sys.stderr)


def _shipped() -> OperationsModel:
    with resources.as_file(resources.files("kilowait") / "data" / "device_model") as folder:
        return OperationsModel.load(folder)

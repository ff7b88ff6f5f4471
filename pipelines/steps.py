"""Fit the device model on measured steps of many sources: kilowait lab steps --help.

Writes to --out: model.safetensors, model.json (nothing is unpickled) and MODEL_CARD.md; to --results one JSON.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.hardware import add_gpu_file_option
from kilowait.core.started import command_name
from kilowait.files.atomic import write_text
from kilowait.lab.steps.labelled_steps import LabelledStep, of_operators, of_steps, of_study
from kilowait.lab.steps.measured_steps import read_steps
from kilowait.lab.steps.single_operators import read_operator_times
from kilowait.lab.steps.step_dry_runs import step_dry_runs
from kilowait.lab.steps.step_models import StepFit
from kilowait.lab.steps.step_programs import StepPrograms
from kilowait.lab.steps.step_scores import as_table
from kilowait.lab.steps.step_selection import chosen_steps, with_programs
from kilowait.lab.steps.step_validation import FOLDS, digest, validated
from kilowait.predict.device_model import model_files
from kilowait.predict.interpreter import OWN, choose

from .cards import steps_card, write_card
from .evaluate.inputs import programs_of, read_corpus, study_of_corpus

EXAMPLE = """\
example:
  kilowait lab steps --programs data/steps --steps timm.csv.gz lambda.csv.gz --operators operators.csv.gz \\
      --corpus out/kernelbench --python ~/packages/bin/python --cache out/steps --unsafe \\
      --out out/device_model --results out/steps.json

--steps are tables of measured steps, whose columns `kilowait lab evaluate --steps` names; --programs says which program
a row is of (steps.json there). Programs are run dry under --python, which needs their packages, and kept in --cache.
Errors are of labels left out: whole kinds of network, whole sources, whole GPU types; intervals of the last two.
"""
SHAPES = {"bmm": 40, "linear": 40, "conv": 50}
OTHER_SHAPES = 8
"""Shapes of each single operator that are learned from; a few hundred of a quarter of a million times say most."""
STYLE = "steps"
LICENCES = "facts alone; MIT, Apache-2.0 and one without, as data/steps/README.md says of each source"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exits with 2 for a mistake in what was given."""
    args = _parser().parse_args(argv)
    try:
        return run(args)
    except KilowaitError as error:
        print(f"pipelines.steps: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.steps", "kilowait lab steps"),
        description="Fit the device model on measured steps of whole networks, with intervals and a model card.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--steps", nargs="+", required=True, type=Path, metavar="FILE", help="tables of measured steps")
    add("--programs", required=True, type=Path, metavar="DIR", help="their programs, with steps.json")
    add("--operators", type=Path, metavar="FILE", help="a table of measured single operators")
    add("--corpus", type=Path, metavar="DIR", help="an imported corpus of forward passes with labels")
    add("--python", metavar="PYTHON", help="the interpreter with the programs' packages (default: this one)")
    add("--cache", required=True, type=Path, metavar="DIR", help="where dry runs are kept")
    add("--budget-s", type=float, default=30.0, help="CPU seconds of a dry run (default: %(default)s)")
    add("--unsafe", action="store_true", help="run programs without a sandbox, where there is none")
    add("--out", required=True, type=Path, metavar="DIR", help="the model's folder; what is there is replaced")
    add("--results", type=Path, metavar="FILE", help="write the scores of what was left out here, as JSON")
    add_gpu_file_option(parser)
    add("--seed", type=int, default=0, help="of the selection and the folds (default: 0)")
    return parser


def run(args: argparse.Namespace) -> int:
    """Choose, run dry, score what is left out, calibrate, fit on everything, write."""
    labels, fit = labels_of(args), StepFit()
    print(as_counts(labels), file=sys.stderr)
    validation = validated(
        labels, fit, args.seed, args.cache, lambda text: print(f"left out: {text}", file=sys.stderr, flush=True)
    )
    scores, calibration = validation.scores(), validation.calibration
    print(as_table(scores))
    model = replace(fit.fitted(labels), doubt=validation.doubt).compact()
    training = {**_training(labels, args), "scores": [score.to_dict() for score in scores]}
    version = model_files.save(model, args.out, {**training, "calibration": calibration.to_dict()})
    write_card(args.out, steps_card(model, version, training, calibration))
    if args.results:
        write_text(args.results, json.dumps({"version": version, **training}, indent=1, allow_nan=False) + "\n")
    size = sum(path.stat().st_size for path in args.out.iterdir())
    print(f"device model {version}, {size / 1e3:,.0f} kB, written to {args.out}")
    return 0


def labels_of(args: argparse.Namespace) -> list[LabelledStep]:
    """Everything that is learned from: steps, single operators, forward passes."""
    programs, labels = StepPrograms.read(args.programs), []
    interpreter = choose(python=args.python) if args.python else OWN
    for path in args.steps:
        chosen = chosen_steps(with_programs(read_steps(path), programs), args.seed)
        wanted = [one.program.program for one in chosen]
        runs = step_dry_runs(wanted, args.cache, budget_s=args.budget_s, unsafe=args.unsafe, interpreter=interpreter)
        labels += of_steps(chosen, runs)
    if args.operators:
        labels += of_operators(read_operator_times(args.operators, shapes=SHAPES, others=OTHER_SHAPES, seed=args.seed))
    if args.corpus:
        corpus = read_corpus(args.corpus, None)
        study = study_of_corpus(corpus)
        labels += of_study(study, programs_of(corpus, study).dry_runs)
    return labels


def as_counts(labels: Sequence[LabelledStep]) -> str:
    """How many labels and programs each source has, a line each."""
    counts = Counter(label.source for label in labels)
    programs = {source: {label.run.content_hash for label in labels if label.source == source} for source in counts}
    return "\n".join(f"{source}: {n} labels of {len(programs[source])} programs" for source, n in counts.items())


def _training(labels: Sequence[LabelledStep], args: argparse.Namespace) -> dict[str, Any]:
    """What the model learned from, and how that was chosen."""
    sources = sorted({label.source for label in labels})
    return {
        "labels_sha256": digest(labels),
        "source": f"{len(sources)} sources of measured steps (data/steps/README.md)",
        "licence": LICENCES,
        "style": STYLE,
        "programs": len({label.run.content_hash for label in labels}),
        "labels": dict(Counter(label.gpu for label in labels)),
        "by_source": dict(Counter(label.source for label in labels)),
        "families": sorted({label.family for label in labels}),
        "folds": FOLDS,
        "seed": args.seed,
    }


if __name__ == "__main__":
    sys.exit(main())

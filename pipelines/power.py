"""Fit the power model on measured watts and power limit sweeps of whole networks: kilowait lab power --help.

Writes to --out one JSON that `kilowait predict` reads, with how far off it is on what was left out; to --results that
alone.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from kilowait.core.errors import InputError, KilowaitError
from kilowait.core.started import command_name
from kilowait.files.atomic import write_text
from kilowait.lab.draws.curve_choice import CHOICES, choice_scores
from kilowait.lab.draws.measured_draws import program_of, read_draws
from kilowait.lab.draws.power_fit import (
    DrawLabels,
    fitted_coefficients,
    fitted_offsets,
    has_curve,
    mean_curve,
    pooled_curve,
)
from kilowait.lab.draws.power_validation import LeftOutWatts
from kilowait.lab.steps.step_dry_runs import step_dry_runs
from kilowait.predict.gpu_types import GpuPredictor
from kilowait.predict.interpreter import OWN, choose
from kilowait.predict.power.power_model import version_of

EXAMPLE = """\
example:
  kilowait lab power --zeus zeus_power_limit_sweep.csv --perseus perseus_power_limit_sweep.csv \\
      --served mlenergy_h100.csv --programs data/power --python ~/packages/bin/python --cache out/power --unsafe \\
      --out kilowait/data/power_model/power.json --results docs/results/power.json
"""
WEIGHTS = (1.0, 2.0, 1e6)
"""How much joules count beside seconds where a limit is chosen; the last is the least energy."""
APART = 0.1
SOURCES = (
    "power limit sweeps of Zeus (NSDI 2023) and Perseus (SOSP 2024; ml-energy/zeus, Apache-2.0), "
    "served models of the ml.energy leaderboard (Apache-2.0)"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; exits with 2 for a mistake in what was given."""
    args = _parser().parse_args(argv)
    try:
        return run(args)
    except KilowaitError as error:
        print(f"pipelines.power: {error}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=command_name(f"{__package__}.power", "kilowait lab power"),
        description="Fit the power model on measured watts of whole networks, and score what is left out.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--zeus", required=True, type=Path, metavar="FILE", help="a table of training runs by power limit")
    add("--perseus", required=True, type=Path, metavar="FILE", help="another, of pipelines")
    add("--served", required=True, type=Path, metavar="FILE", help="a table of served models with their watts")
    add("--programs", required=True, type=Path, metavar="DIR", help="a step of each network, with networks.json")
    add("--python", metavar="PYTHON", help="the interpreter with the programs' packages (default: this one)")
    add("--cache", required=True, type=Path, metavar="DIR", help="where dry runs are kept")
    add("--budget-s", type=float, default=60.0, help="CPU seconds of a dry run (default: %(default)s)")
    add("--unsafe", action="store_true", help="run programs without a sandbox, where there is none")
    add("--out", required=True, type=Path, metavar="FILE", help="the model")
    add("--results", type=Path, metavar="FILE", help="write the scores of what was left out here, as JSON")
    return parser


def run(args: argparse.Namespace) -> int:
    """Read, run dry, score what is left out, fit on everything, write."""
    labels = labels_of(args)
    left_out, coefficients = LeftOutWatts.of(labels), fitted_coefficients(labels)
    curves = labels.taken(np.array([has_curve(draw) for draw in labels.draws]))
    gpus = curves.column("gpu")
    scores = _scores(labels, left_out)
    model: dict[str, Any] = {
        "coefficients": np.round(coefficients, 4).tolist(),
        "offsets": {gpu: round(value, 4) for gpu, value in fitted_offsets(labels, coefficients).items()},
        "sigma": round(left_out.sigma(left_out.network), 4),
        "new_sigma": round(left_out.sigma(left_out.both), 4),
        "correlation": round(left_out.correlation(), 3),
        "curves": {gpu: asdict(mean_curve(curves.taken(gpus == gpu))) for gpu in dict.fromkeys(gpus.tolist())},
        "pooled": asdict(pooled_curve(curves)),
        "networks": {gpu: _network_curves(curves.taken(gpus == gpu)) for gpu in dict.fromkeys(gpus.tolist())},
        "training": {
            "source": SOURCES,
            "draws": dict(Counter(labels.column("gpu").tolist())),
            "networks": sorted(set(labels.column("network").tolist())),
            "scores": scores,
        },
    }
    model = json.loads(json.dumps(model))
    version = version_of(model)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    write_text(args.out, json.dumps({"version": version, **model}, indent=1, allow_nan=False) + "\n")
    print(as_table(scores))
    if args.results:
        found = {"version": version, "provenance": "modelled; scored on measured watts", **scores}
        write_text(args.results, json.dumps(found, indent=1, allow_nan=False) + "\n")
    print(f"power model {version}, written to {args.out}")
    return 0


def _network_curves(labels: DrawLabels) -> dict[str, Any]:
    """The curve of each network on one type: what backtests give jobs as their own."""
    networks = labels.column("network")
    return {name: asdict(mean_curve(labels.taken(networks == name))) for name in dict.fromkeys(networks.tolist())}


def labels_of(args: argparse.Namespace) -> DrawLabels:
    """What was measured, with what the device model says of each program."""
    draws = read_draws(args.zeus, args.perseus, args.served, args.programs)
    programs = {draw.arguments: program_of(draw, args.programs) for draw in draws}
    interpreter = choose(python=args.python) if args.python else OWN
    runs = step_dry_runs(
        programs.values(), args.cache, budget_s=args.budget_s, unsafe=args.unsafe, interpreter=interpreter
    )
    by_arguments = {arguments: runs[program.content_hash] for arguments, program in programs.items()}
    unusable = [" ".join(arguments) for arguments, dry_run in by_arguments.items() if not dry_run.usable]
    if unusable:
        raise InputError(f"these programs were not run dry: {'; '.join(unusable)}; give --python with their packages")
    return DrawLabels.of(draws, by_arguments, GpuPredictor.load_default().model)


def _scores(labels: DrawLabels, left_out: LeftOutWatts) -> dict[str, Any]:
    tau, pairs = left_out.tau(left_out.type)
    apart, apart_pairs = left_out.tau(left_out.type, APART)
    return {
        "watts": left_out.scores(),
        "tau_of_types": {"all": tau, "pairs": pairs, "apart_by_a_tenth": apart, "pairs_apart": apart_pairs},
        "limits": [
            row for weight in WEIGHTS for name in CHOICES for row in choice_scores(name, labels, left_out, weight)
        ],
    }


def as_table(scores: dict[str, Any]) -> str:
    """The scores for people."""
    lines = ["left out            gpu               draws  median  of networks  coverage  pred/meas"]
    lines += [
        f"{row['left_out']:<18}  {row['gpu']:<16} {row['draws']:>6}  {row['median_error']:>6.1%}  "
        f"{row['median_error_of_networks']:>11.1%}  {row['coverage']:>8.0%}  {row['bias']:>9.2f}"
        for row in scores["watts"]
    ]
    tau = scores["tau_of_types"]
    lines.append(
        f"Kendall's tau of types left out, by watts: {tau['all']:.2f} ({tau['pairs']} pairs), "
        f"{tau['apart_by_a_tenth']:.2f} of the {tau['pairs_apart']} pairs that differ by more than a tenth"
    )
    lines.append("curve of a network left out               gpu               joules x  kept   own   slow-down  energy")
    lines += [
        f"{row['curve']:<40}  {row['gpu']:<16} {row['weight']:>8g}  "
        f"{'-' if row['kept'] is None else format(row['kept'], '.0%'):>5}  {row['own_saving']:>5.3g}  "
        f"{row['slowdown']:>8.3f}  {row['energy_change']:>+7.1%}"
        for row in scores["limits"]
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())

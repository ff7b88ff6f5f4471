"""Policies against Simple in the paper's scenario, with intervals: what `kilowait lab backtest` compares. Modelled.

    python -m benchmarks.savings --residuals out/demo/model/residuals.parquet --json out/bench/savings.json

One process, without Ray, so that it repeats on a small machine. Policies see the truth times a probe's errors out of
fold, or the truth where no errors are given.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tqdm import tqdm

from benchmarks.json_record import keep
from kilowait.files import columns, parquet
from kilowait.lab.backtest.backtest import PolicySpec, World, evaluate, outcome_row
from kilowait.lab.backtest.backtest_page import comparisons
from kilowait.lab.backtest.scenario.noise import read_errors
from kilowait.lab.backtest.world_options import DEFAULT_SEED
from kilowait.policies import DEFAULT_POLICY, POLICIES
from kilowait.policies.wrappers.wrapper import split_names


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.savings",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--samples", type=int, default=100, help="of each table of classes (default: %(default)s)")
    p.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of the samples (default: %(default)s)")
    p.add_argument("--policies", default=f"simple,value,easy,patient,{DEFAULT_POLICY}", help="default: %(default)s")
    p.add_argument("--residuals", type=Path, help="a predictor's errors out of fold (default: none)")
    p.add_argument("--json", type=Path, help="also write all numbers here")
    options = p.parse_args(argv)
    names = split_names(options.policies)
    specs = [PolicySpec(label=name, policy=name, parameters=POLICIES[name].settled({})) for name in names]
    errors = read_errors(options.residuals, "default") if options.residuals else None
    worlds = [World(classes=classes, seed=options.seed, errors=errors) for classes in ("paper-like", "calibrated")]
    rows = [
        outcome_row(world, outcome)
        for world in worlds
        for index in tqdm(range(options.samples), disable=None)
        for outcome in evaluate(world, index, specs)
    ]
    found = comparisons(parquet.table(rows, columns.BACKTEST))
    for world in found:
        for policy in world.policies:
            changes = policy.changes
            if changes:
                wait, kwh = changes["total_wait_s"], changes["energy_kwh"]
                print(f"{world.classes:12}{policy.policy:24}{wait.estimate:+8.1%}{kwh.estimate:+8.1%}")
    keep([asdict(world) for world in found], options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

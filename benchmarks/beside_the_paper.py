"""The paper's Tables 1 and 2 cell by cell beside the same cells of kilowait. Modelled.

    python -m benchmarks.beside_the_paper --residuals out/demo/model/residuals.parquet --json out/bench/paper.json

The paper's scenario as rebuilt here, with both class tables; policies see the truth times the errors that a probe made
out of fold, unless no errors are given. Table 1 backtested two months of a small data centre under Value; Table 2
simulated samples with Value's kappa tuned for the least waiting, running time or energy. Here kappa is tuned likewise,
on other samples. The default policy, and that at a price that steers itself, are rows more in both. What the paper does
not print stands as none.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.json_record import keep
from kilowait.lab.backtest.backtest import World, try_kappa
from kilowait.lab.backtest.scenario.noise import read_errors
from kilowait.policies import DEFAULT_POLICY, POLICIES, Policy
from kilowait.simulate.loop import simulate
from kilowait.simulate.scores import score

KAPPAS = tuple(float(kappa) for kappa in np.geomspace(1e-7, 1e-3, 13))
DEFAULT, STEERED = f"{DEFAULT_POLICY}, the default", f"steered({DEFAULT_POLICY})"
QUANTITIES = {
    "total_wait_s": "total waiting time (s)",
    "delayed_tasks": "tasks that waited",
    "running_s": "total running time (s)",
    "energy_kwh": "energy of jobs (kWh)",
}
VALUES = {"waiting": "total_wait_s", "running time": "running_s", "energy": "energy_kwh"}
PAPER: Mapping[int, Mapping[str, tuple[float, float, float, float]]] = {
    1: {
        "Simple": (3_135_824.01, 29.79, 16_924_533.71, 470.69),
        "Value": (2_186_166.49, 22.50, 16_565_627.33, 322.07),
    },
    2: {
        "Simple": (2_466_062.56, 27.38, 15_333_868.47, 440.98),
        "Value, kappa for waiting": (1_810_123.92, 21.16, 15_215_721.21, 245.42),
        "Value, kappa for running time": (2_045_399.25, 22.23, 15_001_371.15, 243.97),
        "Value, kappa for energy": (2_112_773.56, 22.80, 15_291_965.57, 240.07),
    },
}
"""The paper's figures, in the order of `QUANTITIES`."""


def policies(world: World, tuning: int) -> dict[str, Policy]:
    """What is compared in this world, with kappa tuned for each purpose on so many validation samples."""
    samples = [replace(world, role="validation").sample(index) for index in range(tuning)]
    trials = [try_kappa(samples, kappa) for kappa in KAPPAS]
    tuned = {name: min(trials, key=lambda trial: getattr(trial, of)).kappa for name, of in VALUES.items()}
    return {
        "Simple": POLICIES["simple"](),
        "Value": POLICIES["value"](kappa_relative=1.0),
        **{f"Value, kappa for {name}": POLICIES["value"](kappa=kappa) for name, kappa in tuned.items()},
        DEFAULT: POLICIES[DEFAULT_POLICY](),
        STEERED: POLICIES[STEERED](),
    }


def means(world: World, samples: int, tuning: int) -> dict[str, list[float]]:
    """By policy, the mean of each quantity over the samples."""
    compared, rows = policies(world, tuning), dict[str, list[list[float]]]()
    for index in range(samples):
        sample = world.sample(index)
        for name, policy in compared.items():
            scores = score(simulate(sample.submissions, sample.inventory, policy, nodes=sample.nodes))
            rows.setdefault(name, []).append([getattr(scores, quantity) for quantity in QUANTITIES])
    return {name: np.mean(found, axis=0).tolist() for name, found in rows.items()}


def cells(found: Mapping[str, Mapping[str, list[float]]]) -> list[dict[str, Any]]:
    """A row a table, policy and quantity, with the changes against Simple of the same table."""
    return [
        {
            "table": table,
            "policy": policy,
            "quantity": quantity,
            "paper": printed[policy][k] if policy in printed else None,
            "paper_change_percent": percent(printed[policy][k], printed["Simple"][k]) if policy in printed else None,
            **{classes: of[policy][k] for classes, of in found.items()},
            **{f"{classes}_change_percent": percent(of[policy][k], of["Simple"][k]) for classes, of in found.items()},
        }
        for table, printed in PAPER.items()
        for policy in (*printed, DEFAULT, STEERED)
        for k, quantity in enumerate(QUANTITIES.values())
    ]


def percent(number: float, against: float) -> float:
    """The change in percent."""
    return 100 * (number / against - 1)


def show(rows: Sequence[Mapping[str, Any]]) -> None:
    """The cells as text."""
    for row in rows:
        shown = [
            "-" if row[name] is None else f"{row[name]:,.0f} ({row[f'{name}_change_percent']:+.1f}%)"
            for name in ("paper", "paper-like", "calibrated")
        ]
        print(f"{row['table']}  {row['policy']:32}{row['quantity']:24}" + "".join(f"{text:>28}" for text in shown))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.beside_the_paper",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--samples", type=int, default=100, help="of each world (default: %(default)s)")
    p.add_argument("--tuning", type=int, default=50, help="samples that kappa is tuned on (default: %(default)s)")
    p.add_argument("--seed", type=int, default=2024, help="of the samples (default: %(default)s)")
    p.add_argument("--residuals", type=Path, help="a predictor's errors out of fold (default: none, the truth is seen)")
    p.add_argument("--residual-model", default="default", help="whose errors they are (default: %(default)s)")
    p.add_argument("--json", type=Path, help="also write all numbers here")
    options = p.parse_args(argv)
    errors = read_errors(options.residuals, options.residual_model) if options.residuals else None
    found = {
        classes: means(World(classes=classes, seed=options.seed, errors=errors), options.samples, options.tuning)
        for classes in ("paper-like", "calibrated")
    }
    rows = cells(found)
    show(rows)
    keep(rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

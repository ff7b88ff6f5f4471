"""Whether energy is better learnt through power or by itself, on measured energies.

    python -m benchmarks.refit_power --measurements zeus_power_limit_sweep.csv

The file is the power limit sweep of Zeus (You, Chung and Chowdhury, NSDI 2023; ml-energy/zeus, Apache-2.0), its runs
without a cap: measured seconds of an epoch and mean watts of five networks on four GPU types. The base prediction is a
crude one: the network's median time, and 0.6 of the board's largest limit. Half of the configurations teach, the other
half is asked for; once every run of the first half has an energy, once every other one lacks it, as where some boards
have no meter.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from kilowait.predict.correction.training import MeasuredJobs, train

SPLITS = 8
BUSY = 0.6
"""Of the largest power limit: what the base prediction takes for the draw."""


def main(argv: Sequence[str] | None = None) -> int:
    """Print the errors of energy by either way, and the interval of their difference over splits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measurements", type=Path, required=True, metavar="CSV")
    runs = _uncapped(pd.read_csv(parser.parse_args(argv).measurements))
    print(f"{len(runs)} measured runs, {SPLITS} splits; error is |log(measured / predicted)| of energy")
    for missing, name in ((0.0, "every run metered"), (0.5, "every other run metered")):
        split_errors = [_split(runs, missing, seed) for seed in range(SPLITS)]
        base, power, direct = (np.concatenate(errors) for errors in zip(*split_errors, strict=True))
        by_split = [p.mean() - d.mean() for _, p, d in split_errors]
        low, high = np.quantile(by_split, [0.025, 0.975])
        print(f"  {name}: median {np.median(base):.3f} uncorrected, {np.median(power):.3f} through power, ", end="")
        print(f"{np.median(direct):.3f} direct; power - direct {np.mean(by_split):+.3f} [{low:+.3f}, {high:+.3f}]")
    return 0


def _uncapped(runs: pd.DataFrame) -> pd.DataFrame:
    runs = runs[runs.power_limit == runs.groupby("gpu").power_limit.transform("max")].reset_index(drop=True)
    runs["source"] = runs.network + runs.batch_size.astype(str) + runs.optimizer
    usual_s = np.exp(np.log(runs.time_per_epoch).groupby(runs.network).transform("median"))
    runs["runtime"] = np.log(runs.time_per_epoch / usual_s)
    runs["energy"] = runs.runtime + np.log(runs.average_power / (BUSY * runs.power_limit))
    return runs


def _split(runs: pd.DataFrame, missing: float, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Errors of the uncorrected energy, of that through power and of the direct one on the runs that did not teach."""
    rng = np.random.default_rng(seed)
    sources = rng.permutation(runs.source.unique())
    teaches = runs.source.isin(set(sources[: len(sources) // 2])).to_numpy()
    energy, runtime = runs.energy.to_numpy(), runs.runtime.to_numpy()
    metered = rng.random(len(runs)) >= missing
    first, test_rows = _measured(runs, teaches, runtime, np.where(metered, energy, np.nan)), ~teaches
    test_jobs = _measured(runs, test_rows, runtime, energy)
    energy_correction = train(_measured(runs, teaches & metered, energy, np.full(len(runs), np.nan)), "")
    power = train(first, "")
    mean, _ = power.residuals(test_jobs.jobs(power.space))["energy_j"]
    direct, _ = energy_correction.residuals(test_jobs.jobs(energy_correction.space))["runtime_s"]
    return np.abs(energy[test_rows]), np.abs(energy[test_rows] - mean), np.abs(energy[test_rows] - direct)


def _measured(runs: pd.DataFrame, mask: np.ndarray, runtime: np.ndarray, energy: np.ndarray) -> MeasuredJobs:
    rows = runs[mask]
    kinds = 3 * pd.get_dummies(runs.network).to_numpy(float)[mask]
    shape = np.stack([np.log2(rows.batch_size.to_numpy()), rows.optimizer == "adam"], axis=1)
    return MeasuredJobs(
        gpu_type=tuple(rows.gpu),
        source=tuple(rows.source),
        owner=("",) * len(rows),
        vectors=np.concatenate([kinds, shape], axis=1).astype(np.float32),
        runtime=runtime[mask],
        energy=energy[mask],
    )


if __name__ == "__main__":
    sys.exit(main())

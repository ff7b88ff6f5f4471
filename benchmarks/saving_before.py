"""What policies saved at an earlier commit, before planners were made faster, beside what they save now. Modelled.

    python -m benchmarks.saving_before --json out/bench/saving_before.json

The paper's scenario with exact predictions, on the same samples by the files of the commit of `decision_before` and by
those of this tree: waiting of all jobs against Simple's, and the share of the energy between Simple and the bound.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.decision_before import COMMIT, unpacked
from benchmarks.json_record import keep

HERE = Path(__file__).parents[1]
TOTALS = """
import json, sys
from kilowait.lab.backtest.backtest import World
from kilowait.lab.backtest.bounds.lower_bounds import greenest_kwh
from kilowait.policies import POLICIES
from kilowait.simulate.loop import simulate
samples, totals = int(sys.argv[1]), {}
for classes in ("paper-like", "calibrated"):
    for index in range(samples):
        sample = World(classes=classes, seed=2024).sample(index)
        for name in sys.argv[2:]:
            policy = POLICIES[name](kappa_relative=1.0) if name == "value" else POLICIES[name]()
            placed = simulate(sample.submissions, sample.inventory, policy, nodes=sample.nodes).placements
            found = sum(p.wait_s for p in placed), sum(p.energy_kwh for p in placed), greenest_kwh(sample)
            before = totals.setdefault(f"{classes} {name}", [0.0, 0.0, 0.0])
            totals[f"{classes} {name}"] = [a + b for a, b in zip(before, found)]
print(json.dumps(totals))
"""


def totals(folder: Path, samples: int, names: Sequence[str]) -> dict[str, list[float]]:
    """By class table and policy: seconds of waiting, kWh, and the bound's kWh, of all samples."""
    command = [sys.executable, "-c", TOTALS, str(samples), *names]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)
    return dict(json.loads(done.stdout))


def rows(before: dict[str, list[float]], now: dict[str, list[float]]) -> list[dict[str, Any]]:
    """A row a class table and policy, but for Simple."""
    found = []
    for key in now:
        classes, policy = key.split()
        if policy == "simple":
            continue
        row: dict[str, Any] = {"classes": classes, "policy": policy}
        for when, table in (("before", before), ("now", now)):
            (wait_s, kwh, bound_kwh), (simple_s, simple_kwh, _) = table[key], table[f"{classes} simple"]
            row[f"share_{when}"] = (simple_kwh - kwh) / (simple_kwh - bound_kwh)
            row[f"wait_{when}"] = wait_s / simple_s - 1
        found.append(row)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.saving_before",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--samples", type=int, default=20, help="of each table of classes (default: %(default)s)")
    p.add_argument("--policies", default="value,easy,conservative,patient", help="(default: %(default)s)")
    p.add_argument("--commit", default=COMMIT, help="(default: %(default)s)")
    p.add_argument("--json", type=Path, help="also write all numbers here")
    options = p.parse_args(argv)
    names = ["simple", *options.policies.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        unpacked(options.commit, folder)
        found = rows(totals(folder, options.samples, names), totals(HERE, options.samples, names))
    for row in found:
        print("".join(f"{v:>16.4f}" if isinstance(v, float) else f"{v:>16}" for v in row.values()))
    keep(found, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

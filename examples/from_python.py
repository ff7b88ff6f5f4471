"""kilowait from Python: predict a script, then run a list of jobs through two policies.

python examples/from_python.py
"""

from pathlib import Path

import kilowait

HERE = Path(__file__).parent


def main() -> None:
    """Print a few predictions and scores."""
    forecast = kilowait.predict(HERE / "train_resnet.py", arguments=["--epochs", "1"], devices=["A100", "H100"])
    for device, prediction in forecast.items():
        print(f"{device}: {prediction.runtime_s:.0f} s, {prediction.energy_kwh:.4f} kWh (modelled)")
    for policy in ("simple", "patient"):
        run = kilowait.simulate(HERE / "jobs.csv", "A100=2,A6000=4", policy)
        scores = run.scores
        print(f"{policy}: {scores.total_wait_s:,.0f} s of waiting, {scores.energy_kwh:.2f} kWh (modelled)")


if __name__ == "__main__":
    main()

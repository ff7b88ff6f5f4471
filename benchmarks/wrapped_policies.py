"""What wrappers give and cost: a gang's wait, how users fare beside a flood, and the saving that is left. Modelled.

    python -m benchmarks.wrapped_policies --samples 10 --json out/bench/wrapped_policies.json

gang:   a job of the whole cluster against an endless stream of small jobs: hours until it starts.
flood:  one user submits all jobs at once, another one job every so often: the mean wait of each.
saving: the paper's scenario with each job given to one of 8 users, at random with weights of 1/k (the first has most):
        the share of what lies between Simple and the energy bound, the total wait against Value's (the kappa of
        --kappas with the least wait), and the largest of the users' mean slowdowns over that of all.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.json_record import keep
from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import HOUR_S
from kilowait.lab.backtest.backtest import World
from kilowait.lab.backtest.bounds.lower_bounds import greenest_kwh
from kilowait.policies import POLICIES
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Run, Submission

LIMIT = "1h"
USERS = 8
KAPPA = 3.16e-6


def small(job_id: str, submit_s: float, runtime_s: float, gpus: int = 1, user: str | None = None) -> Submission:
    """A job that takes as long on A as on B, and half the energy on A."""
    truth = {
        t: Prediction(runtime_s=runtime_s, energy_kwh=kwh * runtime_s * gpus / HOUR_S)
        for t, kwh in (("A", 0.2), ("B", 0.4))
        if t == "A" or gpus <= 4
    }
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, gpus=gpus, user=user), truth=truth, seen=truth)


def gang(hours: float) -> list[dict[str, Any]]:
    """Hours until a gang of eight starts that comes after a minute; jobs of 20 minutes fill its type all the time."""
    stream = [small(f"s{n:06}", n * 75.0, 1200) for n in range(int(hours * HOUR_S / 75))]
    jobs = [*stream, small("gang", 60.0, 1800, gpus=8)]
    rows = []
    for name in ("patient", "value", "easy", f"aged(patient,{LIMIT})", f"aged(value,{LIMIT})"):
        run = simulate(jobs, {"A": 8, "B": 4}, made(name))
        wait_s = next(p.wait_s for p in run.placements if p.job_id == "gang")
        mean_s = float(np.mean([p.wait_s for p in run.placements if p.job_id != "gang"]))
        rows.append({"policy": name, "gang_waits_h": wait_s / HOUR_S, "others_wait_s": mean_s})
    return rows


def flood(jobs: int) -> list[dict[str, Any]]:
    """Mean waits of a user with so many jobs at once, and of one with a longer job every half an hour."""
    many = [small(f"f{n:06}", 0.0, 300 + n % 600, user="flood") for n in range(jobs)]
    few = [small(f"g{n:03}", 60.0 + 1800 * n, 1800, user="few") for n in range(40)]
    rows = []
    for name in (
        "patient",
        "value",
        "fair",
        "shared(patient)",
        "shared(patient,energy)",
        f"aged(shared(patient),{LIMIT})",
    ):
        run = simulate([*many, *few], {"A": 8, "B": 4}, made(name))
        waits = {
            user: [p.wait_s for p in run.placements if (p.job_id[0] == "g") == (user == "few")]
            for user in ("few", "flood")
        }
        energy = sum(p.energy_kwh for p in run.placements)
        rows.append(
            {
                "policy": name,
                **{f"{u}_wait_h": float(np.mean(w)) / HOUR_S for u, w in waits.items()},
                "energy_kwh": energy,
            }
        )
    return rows


def made(name: str, **parameters: Any) -> Any:
    """A policy as commands have it."""
    given = {"kappa": KAPPA} if "kappa" in POLICIES[name].takes else {}
    return POLICIES[name](**{**given, **parameters})


def saving(classes: str, load: float, samples: int, price: float) -> list[dict[str, Any]]:
    """The rows of one world."""
    world, chance = World(classes=classes, seed=2024, load=load), 1 / np.arange(1, USERS + 1)
    totals: dict[str, list[tuple[float, float, float]]] = {}
    bounds = []
    names = (
        "simple",
        "value",
        "fair",
        "patient",
        "aged(patient,7d)",
        "shared(patient)",
        "shared(aged(patient,7d))",
        "steered(aged(patient,7d))",
        "steered(shared(aged(patient,7d)))",
    )
    for index in range(samples):
        sample, rng = world.sample(index), np.random.default_rng(index)
        users = rng.choice(USERS, len(sample.submissions), p=chance / chance.sum())
        jobs = [
            replace(s, job=replace(s.job, user=f"user-{u}")) for s, u in zip(sample.submissions, users, strict=True)
        ]
        bounds.append(greenest_kwh(sample))
        for name in names:
            options = {"wait_s_per_kwh": price} if "wait_s_per_kwh" in POLICIES[name].takes else {}
            run = simulate(jobs, sample.inventory, made(name, **options), nodes=sample.nodes)
            totals.setdefault(name, []).append((*_scores(run), _unevenness(run, jobs)))
    table = {name: np.array(rows).sum(axis=0) for name, rows in totals.items()}
    simple_kwh, bound_kwh, value_wait = table["simple"][1], sum(bounds), table["value"][0]
    return [
        {
            "classes": classes,
            "load": load,
            "policy": name,
            "share_saved": (simple_kwh - kwh) / (simple_kwh - bound_kwh),
            "wait_against_value": wait / value_wait - 1,
            "worst_user": uneven / samples,
        }
        for name, (wait, kwh, uneven) in table.items()
    ]


def _scores(run: Run) -> tuple[float, float]:
    return sum(p.wait_s for p in run.placements), sum(p.energy_kwh for p in run.placements)


def _unevenness(run: Run, jobs: Sequence[Submission]) -> float:
    """The largest of the users' mean slowdowns (with 10 s at least in the denominator) over that of all jobs."""
    user_of = {s.job.job_id: s.job.user for s in jobs}
    slow: dict[str | None, list[float]] = {}
    for p in run.placements:
        slow.setdefault(user_of[p.job_id], []).append((p.wait_s + p.runtime_s) / max(10.0, p.runtime_s))
    return max(float(np.mean(values)) for values in slow.values()) / float(
        np.mean([x for v in slow.values() for x in v])
    )


def show(name: str, rows: Sequence[dict[str, Any]]) -> None:
    """A table as text."""
    print(f"\n{name} (modelled)")
    width = max(len(row["policy"]) for row in rows) + 2
    print("".join(f"{key:>{width if key == 'policy' else 20}}" for key in rows[0]))
    for row in rows:
        print(
            "".join(
                f"{v:>{width}}" if k == "policy" else f"{v:>20.3f}" if isinstance(v, float) else f"{v:>20}"
                for k, v in row.items()
            )
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.wrapped_policies",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--hours", type=float, default=24.0, help="of the stream (default: %(default)s)")
    p.add_argument("--flood", type=int, default=2000, help="jobs of the flood (default: %(default)s)")
    p.add_argument("--samples", type=int, default=10, help="of each world (default: %(default)s)")
    p.add_argument(
        "--cells", default="paper-like:1:1250,calibrated:1:1750", help="table:load:price (default: %(default)s)"
    )
    p.add_argument("--json", type=Path, help="also write all numbers here")
    options = p.parse_args(argv)
    tables = {"gang": gang(options.hours), "flood": flood(options.flood)}
    cells = [text.split(":") for text in options.cells.split(",") if text]
    tables["saving"] = [
        row for classes, load, price in cells for row in saving(classes, float(load), options.samples, float(price))
    ]
    for name, rows in tables.items():
        if rows:
            show(name, rows)
    keep(tables, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

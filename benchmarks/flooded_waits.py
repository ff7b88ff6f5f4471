"""How long well-behaved users wait for GPUs, alone and beside a user who floods the queue, by policy. Modelled.

    python -m benchmarks.flooded_waits --json out/bench/flooded_waits.json

Four users submit jobs of their own kind (a GPU, two, four) at random gaps for three days, which take a share of the
GPUs (--loads); a fifth submits 20,000 jobs of 5 to 15 minutes at the end of the first day. The same jobs run without
the flood and beside it. Printed is the 95% quantile of the waits of the jobs that come after that first day: of the
user to whose jobs the flood does most, and the largest ratio of all users, with a second added to both waits.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from benchmarks.json_record import keep
from benchmarks.wrapped_policies import made, small
from kilowait.core.units import DAY_S, HOUR_S
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission

INVENTORY = {"A": 16, "B": 16}
FLOOD = "mallory"
KINDS = {"ada": 1, "bob": 2, "cy": 4, "dee": 1}
POLICIES_TRIED = (
    "aged(patient,7d)",
    "aged(value,7d)",
    "aged(shared(patient),7d)",
    "aged(shared(value),7d)",
    "limited(aged(shared(patient),7d),16)",
    "limited(aged(shared(patient),7d),8)",
    "limited(aged(shared(value),7d),8)",
)


def users_jobs(load: float, days: float, seed: int) -> list[Submission]:
    """Jobs of the well-behaved, which take this share of the GPUs in all."""
    rng, jobs = Random(seed), list[Submission]()
    mean_s = 0.5 * HOUR_S
    for user, gpus in KINDS.items():
        gap_s = mean_s * gpus * len(KINDS) / (load * sum(INVENTORY.values()))
        at_s = rng.expovariate(1 / gap_s)
        while at_s < days * DAY_S:
            jobs.append(small(f"{user}-{len(jobs):06}", at_s, rng.uniform(0.2, 1.8) * mean_s, gpus, user))
            at_s += rng.expovariate(1 / gap_s)
    return jobs


def flood(jobs: int, seed: int) -> list[Submission]:
    """All at once, at the end of the first day."""
    rng = Random(seed)
    return [small(f"{FLOOD}-{n:06}", DAY_S, rng.uniform(300, 900), 1, FLOOD) for n in range(jobs)]


def waits_s(jobs: Sequence[Submission], policy: str) -> dict[str, float]:
    """By user, the 95% quantile of the waits of the jobs that came after the first day."""
    users = {job.job.job_id: job.job.user or "" for job in jobs}
    waits = dict[str, list[float]]()
    for placement in simulate(list(jobs), INVENTORY, made(policy)).placements:
        if placement.submit_s > DAY_S:
            waits.setdefault(users[placement.job_id], []).append(placement.wait_s)
    return {user: float(np.quantile(values, 0.95)) for user, values in waits.items() if user != FLOOD}


def compared(policy: str, load: float, flood_jobs: int, days: float, seed: int) -> dict[str, Any]:
    """The waits in both worlds of the user to whose jobs the flood does most, and the largest ratio of all users."""
    jobs = users_jobs(load, days, seed)
    alone, beside = waits_s(jobs, policy), waits_s([*jobs, *flood(flood_jobs, seed)], policy)
    worst = max(beside, key=lambda user: beside[user] - alone[user])
    return {
        "policy": policy,
        "load": load,
        "user": worst,
        "alone_s": alone[worst],
        "beside_s": beside[worst],
        "worst_ratio": max((beside[user] + 1) / (alone[user] + 1) for user in beside),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Compute, print, and write the numbers with --json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.flooded_waits", description=__doc__, allow_abbrev=False)
    parser.add_argument("--jobs", type=int, default=20_000, help="of the flood (default %(default)s)")
    parser.add_argument("--days", type=float, default=3.0)
    parser.add_argument("--loads", type=float, nargs="+", default=[0.3, 0.5])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(argv)
    rows = list[dict[str, Any]]()
    print(f"{'policy':40} {'load':>5} {'worst user':>10} {'alone s':>10} {'beside s':>10} {'ratio':>7}")
    for policy in POLICIES_TRIED:
        for load in args.loads:
            row = compared(policy, load, args.jobs, args.days, args.seed)
            rows.append(row)
            numbers = f"{row['alone_s']:10.0f} {row['beside_s']:10.0f} {row['worst_ratio']:7.2f}"
            print(f"{policy:40} {load:5.2f} {row['user']:>10} {numbers}", flush=True)
    keep({"provenance": "modelled", "flood": args.jobs, "days": args.days, "by_policy": rows}, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

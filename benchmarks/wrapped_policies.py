"""What wrappers give and cost: a gang's wait, how users fare beside a flood, and the saving that is left. Modelled.

    python -m benchmarks.wrapped_policies --samples 10 --json out/bench/wrapped_policies.json

gang:   a job of the whole cluster against an endless stream of small jobs: hours until it starts.
flood:  one user submits all jobs at once, another one job every so often: the mean wait of each.
saving: the paper's scenario with each job given to one of 8 users, at random with weights of 1/k (the first has most):
        the share of what lies between Simple and the energy bound, the total wait against Value's, and the largest of
        the users' mean slowdowns over that of all. `default`: at the price of the cell. `chosen`: at the price that
        saves most on other samples while all wait there at most as long as under Value, less --margin, for each policy
        by itself; `of_patient` is what is left of patient's share so. `steered`: the price steers itself. `half`: at
        half the price of the cell, where users may differ by four times their share; `of_patient` is then what is left
        of patient's share at the price of the cell.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.json_record import keep
from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import HOUR_S
from kilowait.lab.backtest.backtest import World
from kilowait.lab.backtest.bounds.lower_bounds import greenest_kwh
from kilowait.lab.backtest.scenario.paper_scenario import Role, Sample
from kilowait.policies import POLICIES
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Run, Submission

LIMIT = "1h"
AGED = "aged(patient,7d)"
SHARED, SLACK, LOOSE = f"shared({AGED})", f"shared({AGED},gpu,2)", f"shared({AGED},gpu,4)"
USERS = 8
PRICES_S = (120.0, 250.0, 500.0, 750.0, 1000.0, 1250.0, 1500.0, 2000.0, 3000.0, 4500.0, 6000.0, 9000.0, 12_000.0)
"""Seconds of waiting that a kWh may be worth, of which one is chosen."""
KAPPA = 3.16e-6
OF_PATIENT = {"chosen": "chosen", "steered": "chosen", "half": "default"}
"""How patient's price was had that a way is held against."""


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
        "shared(patient,gpu,2)",
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


class Cell(NamedTuple):
    """A world, and the price that sites have that choose none."""

    classes: str
    load: float
    price: float
    seed: int

    def jobs(self, index: int, role: Role) -> tuple[Sample, list[Submission]]:
        """A sample and its jobs, each of a user by chance."""
        chance, rng = 1 / np.arange(1, USERS + 1), np.random.default_rng(index)
        sample = World(classes=self.classes, seed=self.seed, load=self.load, role=role).sample(index)
        users = rng.choice(USERS, len(sample.submissions), p=chance / chance.sum())
        numbered = zip(sample.submissions, users, strict=True)
        return sample, [replace(s, job=replace(s.job, user=f"user-{u}")) for s, u in numbered]


def chosen_price(cell: Cell, name: str, samples: int, margin: float) -> float:
    """The highest price at which all jobs of these samples wait at most as long as under Value, less the margin.

    Prices ascend until jobs wait for a tenth longer than that; where none is low enough it is the lowest.
    """
    given, found = [cell.jobs(index, "validation") for index in range(samples)], PRICES_S[0]

    def waited_s(policy: str, **options: float) -> float:
        runs = (simulate(jobs, one.inventory, made(policy, **options), nodes=one.nodes) for one, jobs in given)
        return sum(_scores(run)[0] for run in runs)

    may_s = (1 - margin) * waited_s("value")
    for price_s in PRICES_S:
        wait_s = waited_s(name, wait_s_per_kwh=price_s)
        if wait_s > 1.1 * may_s:
            break
        found = price_s if wait_s <= may_s else found
    return found


def compared(cell: Cell, choosing: int, margin: float) -> list[tuple[str, str, float | None]]:
    """Policies by name, how each one's price was had, and that price."""
    fixed = [(name, "default", cell.price) for name in ("patient", AGED, "shared(patient)", SHARED, SLACK, LOOSE)]
    chosen = [(name, "chosen", chosen_price(cell, name, choosing, margin)) for name in ("patient", SHARED, SLACK)]
    plain: list[tuple[str, str, float | None]] = [
        (name, "", None) for name in ("simple", "value", "fair", "shared(aged(value,7d))")
    ]
    return [*plain, *fixed, *chosen, (SLACK, "steered", None), (LOOSE, "half", cell.price / 2)]


def saving(cell: Cell, samples: int, choosing: int, margin: float) -> list[dict[str, Any]]:
    """The rows of one world."""
    totals: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
    bounds, prices = [], {(name, way): price for name, way, price in compared(cell, choosing, margin)}
    for index in range(samples):
        sample, jobs = cell.jobs(index, "test")
        bounds.append(greenest_kwh(sample))
        for (name, way), price in prices.items():
            options = {} if price is None else {"wait_s_per_kwh": price}
            policy = made(f"steered({name})" if way == "steered" else name, **options)
            run = simulate(jobs, sample.inventory, policy, nodes=sample.nodes)
            totals.setdefault((name, way), []).append((*_scores(run), _unevenness(run, jobs)))
    table = {key: np.array(rows).sum(axis=0) for key, rows in totals.items()}
    simple_kwh, value_wait = table["simple", ""][1], table["value", ""][0]

    def share(key: tuple[str, str]) -> float:
        return float((simple_kwh - table[key][1]) / (simple_kwh - sum(bounds)))

    return [
        {
            "classes": cell.classes,
            "load": cell.load,
            "policy": name,
            "price": way,
            "s_per_kwh": prices[name, way],
            "share_saved": share((name, way)),
            "wait_against_value": float(wait / value_wait - 1),
            "of_patient": share((name, way)) / share(("patient", OF_PATIENT[way])) if way in OF_PATIENT else None,
            "worst_user": float(uneven / samples),
        }
        for (name, way), (wait, _, uneven) in table.items()
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
                f"{v:>{width}}" if k == "policy" else f"{v:>20.3f}" if isinstance(v, float) else f"{v or '-':>20}"
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
    p.add_argument("--choosing", type=int, default=12, help="other samples to choose prices on (default: %(default)s)")
    p.add_argument("--margin", type=float, default=0.02, help="of waiting, there (default: %(default)s)")
    p.add_argument("--seed", type=int, default=2024, help="of the samples (default: %(default)s)")
    p.add_argument(
        "--cells", default="paper-like:1:1250,calibrated:1:1750", help="table:load:price (default: %(default)s)"
    )
    p.add_argument("--json", type=Path, help="also write all numbers here")
    options = p.parse_args(argv)
    tables = {"gang": gang(options.hours), "flood": flood(options.flood), "saving": []}
    show("gang", tables["gang"]), show("flood", tables["flood"])
    for classes, load, price in (text.split(":") for text in options.cells.split(",") if text):
        cell = Cell(classes, float(load), float(price), options.seed)
        tables["saving"] += (rows := saving(cell, options.samples, options.choosing, options.margin))
        show("saving", rows)
    keep(tables, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

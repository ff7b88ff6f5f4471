"""How long a submission takes while a slow decision is under way, beside a fast policy in the same run.

    python -m benchmarks.slow_policy --json out/bench/slow_policy.json

The scheduler's own controller, history (SQLite on disk) and decision loop, in one process without Ray: a job comes
every --every seconds, whatever became of the one before, and is timed from when it was due until it is committed. The
policies: `value`, `value` that sleeps for --slow seconds at each decision, and one that computes in Python for as long.
`inline` asks the slow policy in the loop itself, as a scheduler without a thread would. All times are measured.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.json_record import keep
from kilowait.cluster.events import JobPlaced
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job, Prediction
from kilowait.core.submission import Program, Request
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.decisions import Decision, Policy
from kilowait.policies.value import value
from serve.scheduler.decision_loop import DecisionLoop

GPUS = 4


def policies(slow_s: float) -> dict[str, Policy]:
    """Value, as it is and slowed down in two ways."""
    fast = value(kappa=0.0)

    def sleeping(cluster: Cluster) -> list[Decision]:
        time.sleep(slow_s)
        return fast(cluster)

    def computing(cluster: Cluster) -> list[Decision]:
        ends_s, sum_of = time.thread_time() + slow_s, 0
        while time.thread_time() < ends_s:
            sum_of += 1
        return fast(cluster)

    return {"value": fast, "sleeping": sleeping, "computing": computing, "inline": sleeping}


async def submitted(controller: Controller, seconds: float, every_s: float) -> list[float]:
    """Seconds that each of the jobs that come in this time takes from when it was due."""
    taken_s, began_s, number = list[float](), time.perf_counter(), 0
    while (due_s := began_s + number * every_s) < began_s + seconds:
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        request = Request(
            job=Job(job_id="", submit_s=0.0, user="bench"),
            predictions={"A": Prediction(runtime_s=10.0, energy_kwh=1.0)},
            program=Program(files={"main.py": "pass"}, entrypoint="main.py"),
            client_key=f"key-{number}",
        )
        (answer,) = controller.submit_all([request], time.time())
        assert isinstance(answer, str), answer
        taken_s.append(time.perf_counter() - due_s)
        number += 1
    return taken_s


async def measured(policy: Policy, seconds: float, every_s: float, *, inline: bool) -> dict[str, Any]:
    """One policy."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/kilowait.db"
        controller = Controller(Store(url), policy, order=("A",))
        controller.node_joined("n", "A", GPUS, time.time())
        loop = DecisionLoop(controller, 0.05, lambda attempt: None)

        async def inline_decisions() -> None:
            while True:
                if controller.cluster.waiting:
                    controller.decide(time.time())
                    loop.count += 1
                await asyncio.sleep(0.05)

        deciding = asyncio.create_task(inline_decisions() if inline else loop.run())
        taken_s = await submitted(controller, seconds, every_s)
        deciding.cancel()
        placed = [event.job_id for _, event in Store(url).events() if isinstance(event, JobPlaced)]
    p50, p99 = np.quantile(taken_s, [0.5, 0.99]).tolist()
    return {
        "submissions": len(taken_s),
        "decisions": loop.count,
        "placed": len(placed),
        "placed_twice": len(placed) - len(set(placed)),
        "p50_ms": p50 * 1e3,
        "p99_ms": p99 * 1e3,
        "max_ms": max(taken_s) * 1e3,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.slow_policy",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--slow", type=float, default=2.0, help="seconds of a slow decision (default: %(default)s)")
    p.add_argument("--seconds", type=float, default=10.0, help="of each policy (default: %(default)s)")
    p.add_argument("--every", type=float, default=0.02, help="seconds between submissions (default: %(default)s)")
    p.add_argument("--json", type=Path, help="also write all numbers here")
    options = p.parse_args(argv)
    rows = {
        name: asyncio.run(measured(policy, options.seconds, options.every, inline=name == "inline"))
        for name, policy in policies(options.slow).items()
    }
    print(f"{'policy':10}" + "".join(f"{key:>14}" for key in rows["value"]))
    for name, row in rows.items():
        print(f"{name:10}" + "".join(f"{v:>14,.1f}" if isinstance(v, float) else f"{v:>14,}" for v in row.values()))
    keep(rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The scheduler by its controller alone on a large cluster: 1,000 nodes with 10,000 GPUs in 40 types, 10,000 waiting.

    python -m benchmarks.large_cluster

Measured are, on SQLite on this disk, without Ray: the joining of all nodes; decisions as the service makes them (on a
copy of the cluster, committed before the answer), a job ending before each and one coming after; a restart, with the
first decision after it in its parts; a node that drains, comes back, is lost and joins again while all wait; and what
the process holds in memory. Milliseconds are of the clock.
"""

import argparse
import gc
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.jobs import Setting, submissions
from benchmarks.json_record import keep
from benchmarks.live import request_of
from benchmarks.stopwatch import timed_ms
from kilowait.core.submission import Attempt, Ending
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.live.saving import save
from kilowait.policies import DEFAULT_POLICY, POLICIES
from kilowait.simulate.rehearsal import rehearse
from serve.scheduler.scheduler import RARELY
from serve.scheduler.settings import default_options

TOGETHER = 500


class LargeCluster:
    """A controller over such a cluster, with the steps that are timed."""

    def __init__(self, url: str, options: argparse.Namespace) -> None:
        self.url, self.options, self.now_s = url, options, 1.0
        self.setting = Setting(
            jobs=options.waiting + options.nodes * options.gpus + options.decisions + TOGETHER,
            types=options.types,
            gpus=options.nodes * options.gpus // options.types,
        )
        self.order, self.rng = tuple(self.setting.inventory), Random(0)
        self.live = self.begin()

    def begin(self) -> Controller:
        """A controller that stands where the last one stood."""
        policy = POLICIES[self.options.policy](**default_options(self.options.policy))
        rehearse(policy)
        return Controller(Store(self.url), policy, order=self.order)

    def join(self) -> list[float]:
        """Milliseconds of each node that joins."""
        return [timed_ms(lambda n=n: self.join_one(n)) for n in range(self.options.nodes)]

    def join_one(self, number: int) -> None:
        """One node joins."""
        gpu_type = self.order[number % len(self.order)]
        self.live.node_joined(f"node-{number}", gpu_type, self.options.gpus, self.now_s)

    def fill(self) -> None:
        """Submit and place until so many wait on a full cluster."""
        self.coming = iter([request_of(job, f"key-{n}") for n, job in enumerate(submissions(self.setting))])
        with tqdm(total=self.options.waiting, desc="filling", unit="job") as bar:
            while (waiting := len(self.live.cluster.waiting)) < self.options.waiting:
                self.live.submit_all([next(self.coming) for _ in range(TOGETHER)], self.now_s)
                self.live.decide(self.now_s)
                bar.update(waiting - bar.n)

    def decision(self) -> tuple[float, float, float, list[Attempt]]:
        """One decision as the service makes it: milliseconds of its beginning, of its thread, and of the commit."""
        live, self.now_s = self.live, self.now_s + 1.0
        began_s = time.perf_counter()
        ask = live.deciding.begin(live.at(self.now_s))
        begun_s = time.perf_counter()
        decisions = ask()
        decided_s = time.perf_counter()
        attempts = live.carry_out(decisions)
        ended_s = time.perf_counter()
        return (begun_s - began_s) * 1e3, (decided_s - begun_s) * 1e3, (ended_s - decided_s) * 1e3, attempts

    def end_one(self) -> None:
        """A running job ends, and another is submitted."""
        job_id = self.rng.choice(list(self.live.cluster.active))
        ended = self.live.running(job_id)
        self.live.attempt_finished(job_id, ended.attempt, ended.token, Ending(exit_code=0), self.now_s)
        self.live.submit_all([next(self.coming)], self.now_s)

    def decisions(self, count: int) -> list[float]:
        """Milliseconds of so many decisions."""
        times_ms = []
        for _ in range(count):
            self.end_one()
            times_ms.append(sum(self.decision()[:3]))
        return times_ms

    def restart(self) -> dict[str, float]:
        """A new controller, and its first decisions: milliseconds of their parts."""
        save(self.live.store, self.options.policy, default_options(self.options.policy), self.order, time.time())
        self.live.store.close()
        del self.live
        gc.collect()
        began_s = time.perf_counter()
        self.live = self.begin()
        found = {"restart": (time.perf_counter() - began_s) * 1e3}
        gc.freeze()  # as the service does
        gc.set_threshold(*RARELY)
        for name in ("first", "second"):
            self.end_one()
            parts = self.decision()[:3]
            found |= {f"{name}: {part}": ms for part, ms in zip(("copy", "policy", "commit"), parts, strict=True)}
        return found

    def node_changes(self) -> dict[str, float]:
        """Milliseconds of what can become of a node."""
        live = self.live
        acts: dict[str, Callable[[], Any]] = {
            "drains": lambda: live.node_drained("node-7", self.now_s),
            "comes back": lambda: live.node_undrained("node-7", self.now_s),
            "is lost": lambda: live.node_lost("node-7", "gone", self.now_s),
            "joins": lambda: self.join_one(7),
        }
        return {name: timed_ms(act) for name, act in acts.items()} | {"next decision": sum(self.decision()[:3])}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="kilowait-large-", dir=options.folder) as folder:
        world = LargeCluster(f"sqlite:///{folder}/kilowait.db", options)
        joins_ms = world.join()
        world.fill()
        running = len(world.live.cluster.active)
        world.decisions(20)
        times_ms = world.decisions(options.decisions)
        found = {
            "policy": options.policy,
            "nodes": options.nodes,
            "gpus": options.nodes * options.gpus,
            "types": options.types,
            "waiting": len(world.live.cluster.waiting),
            "running": running,
            "join_ms": {"median": median(joins_ms), "all": sum(joins_ms)},
            "decision_ms": {"p50": median(times_ms), "p99": float(np.quantile(times_ms, 0.99)), "max": max(times_ms)},
            "restart_ms": world.restart(),
            "node_ms": world.node_changes(),
        }
        world.live.store.close()
    return found | {"peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def report(found: dict[str, Any]) -> None:
    """The figures as text."""
    print(
        f"{found['nodes']:,} nodes, {found['gpus']:,} GPUs in {found['types']} types, {found['running']:,} jobs run, "
        f"{found['waiting']:,} wait, policy {found['policy']} (measured)"
    )
    for table in ("join_ms", "decision_ms", "restart_ms", "node_ms"):
        print(f"  {table:12} " + ", ".join(f"{name} {ms:,.1f}" for name, ms in found[table].items()))
    print(f"  at most {found['peak_mb']:,.0f} MB")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.large_cluster",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--nodes", type=int, default=1_000, help="(default: %(default)s)")
    p.add_argument("--gpus", type=int, default=10, help="of each node (default: %(default)s)")
    p.add_argument("--types", type=int, default=40, help="(default: %(default)s)")
    p.add_argument("--waiting", type=int, default=10_000, help="jobs in the queue (default: %(default)s)")
    p.add_argument("--decisions", type=int, default=200, help="to time (default: %(default)s)")
    p.add_argument("--policy", default=DEFAULT_POLICY, help="(default: %(default)s)")
    p.add_argument("--folder", help="where the database is made (default: the temporary folder)")
    p.add_argument("--json", type=Path, help="also write all numbers here")
    options = p.parse_args(argv)
    found = measure(options)
    report(found)
    keep(found, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

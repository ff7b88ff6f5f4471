"""The live controller alone, over SQLite on this disk: durable submissions a second, and the latency of a decision.

A decision is asked for on a full cluster with a long queue, after one job ended and one came; what it places is
committed (one fsync) before the answer, and the part without that commit is shown beside it. Recovery replays the whole
history. Everything is measured on this machine.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.jobs import Setting, submissions
from kilowait.live import Controller
from kilowait.policies import POLICIES, Policy
from kilowait.simulate.loop import Submission
from kilowait.store import Store
from kilowait.submission import Ending, Program, Request

BATCH = 500
PROGRAM = Program(files={"main.py": "print('hello')\n" * 40}, entrypoint="main.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds of `decide` with `waiting` jobs; the policy's part is without the commit."""

    types: int
    waiting: int
    decisions: int
    p50_ms: float
    p99_ms: float
    policy_p50_ms: float
    policy_p99_ms: float
    end_p50_ms: float
    recovery_s: float
    events: int


class Timed:
    """A policy that remembers how long each of its decisions took."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.spent_ms: list[float] = []

    def __call__(self, cluster):
        """Decide."""
        started = time.perf_counter()
        found = self._policy(cluster)
        self.spent_ms.append((time.perf_counter() - started) * 1e3)
        return found


def request_of(submission: Submission, key: str) -> Request:
    """What a client would send for a job of the benchmark."""
    job = replace(submission.job, user="ada")
    return Request(job=job, predictions=submission.seen, program=PROGRAM, client_key=key)


def rate(folder: Path, jobs: Sequence[Submission], together: int) -> float:
    """Submissions accepted a second, `together` in a transaction."""
    setting = Setting(jobs=1)
    live = Controller(Store(f"{folder}/rate-{together}.db"), POLICIES["simple"]())
    for gpu_type, gpus in setting.inventory.items():
        live.node_joined(gpu_type, gpu_type, gpus, 0.0)
    asked = [request_of(submission, f"key-{n}") for n, submission in enumerate(jobs)]
    started = time.perf_counter()
    for first in range(0, len(asked), together):
        live.submit_all(asked[first : first + together], 1.0)
    spent_s = time.perf_counter() - started
    live.store.close()
    return len(asked) / spent_s


def latency(folder: Path, types: int, waiting: int, decisions: int) -> Latency:
    """Decisions on a full cluster with so many jobs in the queue."""
    setting = Setting(jobs=waiting + 32 * types + decisions + BATCH, types=types)
    jobs = submissions(setting)
    policy = Timed(POLICIES["value"](kappa_relative=1.0))
    url = f"{folder}/latency-{types}.db"
    live = Controller(Store(url), policy, order=tuple(setting.inventory))
    for gpu_type, gpus in setting.inventory.items():
        live.node_joined(gpu_type, gpu_type, gpus, 0.0)
    coming = iter([request_of(submission, f"key-{n}") for n, submission in enumerate(jobs)])
    while len(live.cluster.waiting) < waiting:
        live.submit_all([next(coming) for _ in range(BATCH)], 1.0)
        live.decide(1.0)
    rng, decide_ms, end_ms = np.random.default_rng(0), list[float](), list[float]()
    del policy.spent_ms[:]
    for _ in range(decisions):
        ended = live.running(sorted(live.cluster.active)[int(rng.integers(len(live.cluster.active)))])
        started = time.perf_counter()
        live.attempt_finished(ended.job_id, ended.attempt, ended.token, Ending(exit_code=0), 2.0)
        end_ms.append((time.perf_counter() - started) * 1e3)
        live.submit_all([next(coming)], 2.0)
        started = time.perf_counter()
        live.decide(2.0)
        decide_ms.append((time.perf_counter() - started) * 1e3)
    left = len(live.cluster.waiting)
    live.store.close()
    started = time.perf_counter()
    again = Controller(Store(url), policy, order=tuple(setting.inventory))
    recovery_s = time.perf_counter() - started
    events = sum(1 for _ in again.store.events())
    again.store.close()
    p50, p99 = np.quantile(decide_ms, [0.5, 0.99]).tolist()
    policy_p50, policy_p99 = np.quantile(policy.spent_ms[:decisions], [0.5, 0.99]).tolist()
    return Latency(
        types=types,
        waiting=left,
        decisions=decisions,
        p50_ms=p50,
        p99_ms=p99,
        policy_p50_ms=policy_p50,
        policy_p99_ms=policy_p99,
        end_p50_ms=float(np.median(end_ms)),
        recovery_s=recovery_s,
        events=events,
    )


def main() -> None:
    """Print the rates and the latencies."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python -m benchmarks.live --decisions 500")
    parser.add_argument("--jobs", type=int, default=2000, help="submissions to time (default 2000)")
    parser.add_argument("--waiting", type=int, default=10_000, help="jobs in the queue (default 10000)")
    parser.add_argument("--decisions", type=int, default=500, help="decisions to time (default 500)")
    parser.add_argument("--types", default="2,10,40", help="numbers of GPU types (default 2,10,40)")
    parser.add_argument("--folder", default=None, help="where the databases are made (default: the temporary folder)")
    parser.add_argument("--json", type=Path, help="also write the numbers there")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kilowait-live-", dir=options.folder) as name:
        folder, jobs = Path(name), submissions(Setting(jobs=options.jobs))
        rates = {together: rate(folder, jobs, together) for together in (1, 10, 100)}
        for together, found in rates.items():
            print(f"submissions, {together:3d} in a transaction  {found:8.0f} /s")
        rows = []
        for types in map(int, options.types.split(",")):
            found = latency(folder, types, options.waiting, options.decisions)
            rows.append(found)
            print(
                f"decide, {types:2d} types, {found.waiting} waiting: p50 {found.p50_ms:.2f}, p99 {found.p99_ms:.2f} ms"
                f" (policy alone {found.policy_p50_ms:.3f}, {found.policy_p99_ms:.3f} ms); end of an attempt p50"
                f" {found.end_p50_ms:.2f} ms; recovery of {found.events} events {found.recovery_s:.2f} s"
            )
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(
            json.dumps({"submissions_a_s": rates, "decide": [asdict(row) for row in rows]}, indent=1)
        )


if __name__ == "__main__":
    main()

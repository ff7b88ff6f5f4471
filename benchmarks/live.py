"""The live controller alone, over SQLite on this disk: durable submissions a second, and the latency of a decision.

A decision is asked for on a full cluster with a long queue, after one job ended and one came; what it places is
committed (one fsync) before the answer. Beside it stands what bounds it: one fsync of as many bytes, to a file beside
the database, after each decision. The processor's part of a decision does not depend on the disk. Recovery replays the
whole history. Everything is measured on this machine.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.jobs import Setting, submissions
from benchmarks.json_record import keep
from kilowait.core.submission import Ending, Program, Request
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies import POLICIES, Policy
from kilowait.simulate.run import Submission

BATCH = 500
COMMIT_BYTES = 8 * 4096
"""What a commit of one decision appends to SQLite's log, within a page or two."""

LOG_BYTES = 128 * COMMIT_BYTES
PROGRAM = Program(files={"main.py": "print('hello')\n" * 40}, entrypoint="main.py")


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Milliseconds of `decide` with `waiting` jobs; of its processor time, its policy, and an fsync alone."""

    types: int
    waiting: int
    decisions: int
    p50_ms: float
    p99_ms: float
    cpu_p50_ms: float
    cpu_p99_ms: float
    fsync_p50_ms: float
    fsync_p99_ms: float
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
        decisions = self._policy(cluster)
        self.spent_ms.append((time.perf_counter() - started) * 1e3)
        return decisions


class Disk:
    """What the disk asks for: a few pages are written over, as in a write-ahead log that has been round, and synced."""

    def __init__(self, folder: Path) -> None:
        self._file, self._at = os.open(folder / "fsync", os.O_RDWR | os.O_CREAT), 0
        os.write(self._file, bytes(LOG_BYTES))
        os.fsync(self._file)

    def sync_ms(self) -> float:
        """Milliseconds of one fsync after COMMIT_BYTES were written."""
        os.pwrite(self._file, os.urandom(COMMIT_BYTES), self._at)
        self._at = (self._at + COMMIT_BYTES) % LOG_BYTES
        started = time.perf_counter()
        os.fsync(self._file)
        return (time.perf_counter() - started) * 1e3


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
    requests = [request_of(submission, f"key-{n}") for n, submission in enumerate(jobs)]
    started = time.perf_counter()
    for first in range(0, len(requests), together):
        live.submit_all(requests[first : first + together], 1.0)
    spent_s = time.perf_counter() - started
    live.store.close()
    return len(requests) / spent_s


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
    rng, disk = np.random.default_rng(0), Disk(folder)
    decide_ms, cpu_ms, end_ms, sync_ms = list[float](), list[float](), list[float](), list[float]()
    del policy.spent_ms[:]
    for _ in range(decisions):
        ended = live.running(sorted(live.cluster.active)[int(rng.integers(len(live.cluster.active)))])
        started = time.perf_counter()
        live.attempt_finished(ended.job_id, ended.attempt, ended.token, Ending(exit_code=0), 2.0)
        end_ms.append((time.perf_counter() - started) * 1e3)
        live.submit_all([next(coming)], 2.0)
        started, started_cpu = time.perf_counter(), time.thread_time()
        live.decide(2.0)
        decide_ms.append((time.perf_counter() - started) * 1e3)
        cpu_ms.append((time.thread_time() - started_cpu) * 1e3)
        sync_ms.append(disk.sync_ms())
    waiting_jobs = len(live.cluster.waiting)
    live.store.close()
    started = time.perf_counter()
    recovered = Controller(Store(url), policy, order=tuple(setting.inventory))
    recovery_s = time.perf_counter() - started
    events = sum(1 for _ in recovered.store.events())
    recovered.store.close()
    spans_ms = {"": decide_ms, "cpu_": cpu_ms, "fsync_": sync_ms, "policy_": policy.spent_ms[:decisions]}
    quantiles = {f"{name}p{q}_ms": float(np.quantile(ms, q / 100)) for name, ms in spans_ms.items() for q in (50, 99)}
    return Latency(
        types=types,
        waiting=waiting_jobs,
        decisions=decisions,
        **quantiles,
        end_p50_ms=float(np.median(end_ms)),
        recovery_s=recovery_s,
        events=events,
    )


def _as_text(case: Latency) -> str:
    return (
        f"decide, {case.types:2d} types, {case.waiting} waiting: p50 {case.p50_ms:.2f}, p99 {case.p99_ms:.2f} ms\n"
        f"    an fsync alone {case.fsync_p50_ms:.2f}, {case.fsync_p99_ms:.2f} ms; the processor's part"
        f" {case.cpu_p50_ms:.2f}, {case.cpu_p99_ms:.2f} ms, of it the policy"
        f" {case.policy_p50_ms:.3f}, {case.policy_p99_ms:.3f} ms\n"
        f"    the end of an attempt p50 {case.end_p50_ms:.2f} ms;"
        f" recovery of {case.events} events {case.recovery_s:.2f} s"
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
        for together, per_s in rates.items():
            print(f"submissions, {together:3d} in a transaction  {per_s:8.0f} /s")
        rows = []
        for types in map(int, options.types.split(",")):
            row = latency(folder, types, options.waiting, options.decisions)
            rows.append(row)
            print(_as_text(row))
    keep({"submissions_a_s": rates, "decide": [asdict(row) for row in rows]}, options.json)


if __name__ == "__main__":
    main()

"""Scheduling speed: jobs a second of the simulator, beside hpcsim and a plain reference, its growth, and one decision.

    python -m benchmarks.scheduling --json out/bench/scheduling.json

policies:  jobs/s of `simulate` at an offered load of at least 0.95 and a mean queue of at least 100, so that an empty
           queue does not win; from a list of submissions to a tuple of placements, with the kernels loaded. Beside it
           the same by the loop in Python, and benchmarks/plain.py (which sorts everything at every event) on the first
           jobs of the list; all starts are compared.
hpcsim:    the same jobs, cluster and rule through hpcsim 0.3.1 in turns with kilowait; all starts are compared.
loading:   seconds of the first compiled run of a process, which loads numba and a kernel from the cache.
growth:    10^3 to 10^6 jobs at one load, compiled, each in a process of its own, with the memory beyond the input: the
           peak of the run, numba and the placements included.
decision:  one decision of a policy with 40 types and 10,000 waiting jobs, after one job has ended.

Everything runs in one process on one core. A rate is that of the fastest of --repeats runs (measured, wall time).
"""

import argparse
import gc
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from benchmarks import plain
from benchmarks.decision import latency
from benchmarks.jobs import Setting, mean_queue, offered_load, submissions
from benchmarks.json_record import keep
from kilowait.policies import POLICIES, Policy
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Run

KAPPA = 1e-5
TWO_TYPES = Setting(jobs=40_000, burst_jobs=1_200)
FORTY_TYPES = Setting(jobs=24_000, types=40, gpus=8, burst_jobs=12_000)
ONE_TYPE = Setting(jobs=4_000, types=1, gpus=64, sizes=(1,), burst_jobs=1_000)
TARGETS = {("simple", 2): 200_000, ("value", 2): 50_000, ("value", 40): 10_000, ("easy", 2): 50_000}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One policy on one setting.

    `python_ratio` is the rate of `simulate` over that of its loop in Python, `plain_ratio` over the plain reference's
    on the first `plain_jobs`. `same_starts` says that all three start the same jobs at the same times.
    """

    policy: str
    types: int
    jobs: int
    load: float
    mean_queue: float
    jobs_per_s: float
    target: int | None
    python_jobs_per_s: float
    python_ratio: float
    plain_jobs: int
    plain_jobs_per_s: float
    plain_ratio: float
    same_starts: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """One rule in hpcsim and here; `worst_difference_s` is between starts."""

    policy: str
    jobs: int
    mean_queue: float
    jobs_per_s: float
    hpcsim_jobs_per_s: float
    ratio: float
    worst_difference_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Loading:
    """The first compiled run of a process, on `jobs` jobs, and the second."""

    policy: str
    jobs: int
    first_s: float
    second_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A run of `jobs` jobs, and the memory it took beyond its input."""

    policy: str
    jobs: int
    mean_queue: float
    jobs_per_s: float
    beyond_input_mib: float


def policy(name: str) -> Policy:
    """A policy with the benchmark's kappa."""
    return POLICIES[name](kappa=KAPPA) if name == "value" else POLICIES[name]()


def fastest_s(action: Callable[[], object], repeats: int) -> float:
    """Seconds of the fastest of several calls; what they return is dropped at once."""
    best = np.inf
    for _ in range(repeats):
        gc.collect()
        started = time.perf_counter()
        action()
        best = min(best, time.perf_counter() - started)
    return float(best)


def starts(run: Run) -> list[plain.Start]:
    """Every start, in the order decided."""
    return [(p.job_id, p.gpu_type, p.start_s) for p in run.placements]


def rate(name: str, setting: Setting, plain_jobs: int, choose: plain.Choose, repeats: int) -> Rate:
    """Jobs a second of one policy, and of the plain reference on the first jobs."""
    jobs, inventory = submissions(setting), setting.inventory
    first_jobs = jobs[:plain_jobs]
    run = simulate(jobs, inventory, policy(name), engine="compiled")
    same_placements = run.placements == simulate(jobs, inventory, policy(name), engine="python").placements
    queue, ours = mean_queue(run), starts(simulate(first_jobs, inventory, policy(name)))
    del run
    seconds = fastest_s(lambda: simulate(jobs, inventory, policy(name)), repeats)
    python_s = fastest_s(lambda: simulate(jobs, inventory, policy(name), engine="python"), repeats)
    few_s = fastest_s(lambda: simulate(first_jobs, inventory, policy(name)), repeats)
    started = time.perf_counter()
    theirs = plain.simulate(first_jobs, inventory, choose)
    plain_s = time.perf_counter() - started
    return Rate(
        policy=name,
        types=setting.types,
        jobs=len(jobs),
        load=offered_load(jobs, inventory),
        mean_queue=queue,
        jobs_per_s=len(jobs) / seconds,
        target=TARGETS.get((name, setting.types)),
        python_jobs_per_s=len(jobs) / python_s,
        python_ratio=python_s / seconds,
        plain_jobs=len(first_jobs),
        plain_jobs_per_s=len(first_jobs) / plain_s,
        plain_ratio=plain_s / few_s,
        same_starts=same_placements and ours == theirs,
    )


def rival(name: str, repeats: int) -> Rival:
    """One rule here and in hpcsim, on the same jobs."""
    from benchmarks import hpcsim_engine

    jobs, inventory = hpcsim_engine.rounded(submissions(ONE_TYPE)), ONE_TYPE.inventory
    run = simulate(jobs, inventory, policy(name), engine="compiled")
    engine = hpcsim_engine.engine(jobs, ONE_TYPE.gpus, name)
    started = time.perf_counter()
    start_s = {job.job_id: job.start_time for job in engine.run().completed_jobs}
    hpcsim_s = time.perf_counter() - started
    ours_s = fastest_s(lambda: simulate(jobs, inventory, policy(name)), repeats)
    return Rival(
        policy=name,
        jobs=len(jobs),
        mean_queue=mean_queue(run),
        jobs_per_s=len(jobs) / ours_s,
        hpcsim_jobs_per_s=len(jobs) / hpcsim_s,
        ratio=hpcsim_s / ours_s,
        worst_difference_s=max(abs(p.start_s - start_s[p.job_id]) for p in run.placements),
    )


def loading(name: str) -> Loading:
    """Two runs, in this process alone; the kernel must have been compiled before."""
    jobs, seconds = submissions(replace(TWO_TYPES, jobs=100)), []
    for _ in range(2):
        started = time.perf_counter()
        simulate(jobs, TWO_TYPES.inventory, policy(name), engine="compiled")
        seconds.append(time.perf_counter() - started)
    return Loading(policy=name, jobs=len(jobs), first_s=seconds[0], second_s=seconds[1])


def growth(name: str, jobs: int) -> Growth:
    """One run, in this process alone: its peak memory is that of the whole process."""
    setting = replace(TWO_TYPES, jobs=jobs)
    submission_list = submissions(setting)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak starts anew
    before_kib = _status_kib("VmRSS")
    simulate(submission_list[:100], setting.inventory, policy(name), engine="compiled")  # loads the kernel
    started = time.perf_counter()
    run = simulate(submission_list, setting.inventory, policy(name), engine="compiled")
    seconds = time.perf_counter() - started
    peak_kib = _status_kib("VmHWM")
    return Growth(
        policy=name,
        jobs=jobs,
        mean_queue=mean_queue(run),
        jobs_per_s=jobs / seconds,
        beyond_input_mib=(peak_kib - before_kib) / 1024,
    )


def _status_kib(field: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def apart(action: Callable[..., object], *arguments: object) -> object:
    """What an action returns in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(action, arguments)


def measure(options: argparse.Namespace) -> dict[str, list[object]]:
    """All tables."""
    plain_value = plain.value(KAPPA)
    cases: list[tuple[str, Setting, int, plain.Choose]] = [
        ("simple", TWO_TYPES, 4_000, plain.simple),
        ("value", TWO_TYPES, 2_000, plain_value),
        ("value", FORTY_TYPES, 400, plain_value),
        ("sjf", TWO_TYPES, 4_000, plain.sjf),
        ("easy", TWO_TYPES, 4_000, plain.easy),
    ]
    sizes = [10**power for power in range(3, options.largest + 1)]
    steps: list[tuple[str, Callable[[], object]]] = [
        *(("policies", lambda case=case: rate(*case, options.repeats)) for case in cases),
        *(("hpcsim", lambda name=name: rival(name, options.repeats)) for name in ("simple", "sjf", "easy")),
        *(("loading", lambda name=name: apart(loading, name)) for name in ("simple", "value", "easy")),
        *(
            ("growth", lambda n=n, name=name: apart(growth, name, n))
            for name in ("simple", "value", "easy")
            for n in sizes
        ),
        *(
            ("decision", lambda name=name: latency(name, policy(name), FORTY_TYPES, 1_000))
            for name in ("simple", "value", "sjf", "easy")
        ),
    ]
    tables: dict[str, list[object]] = {}
    for table, step in tqdm(steps, desc="scheduling", file=sys.stderr):
        tables.setdefault(table, []).append(step())
    return tables


def report(tables: Mapping[str, Sequence[object]]) -> None:
    """The tables as text."""
    for name, rows in tables.items():
        cells = [{key: _shown(value) for key, value in asdict(row).items()} for row in rows]  # type: ignore[call-overload]
        widths = {key: max(len(key), *(len(row[key]) for row in cells)) for key in cells[0]}
        print(f"\n{name} (measured)")
        print("  ".join(key.rjust(width) for key, width in widths.items()))
        for row in cells:
            print("  ".join(row[key].rjust(width) for key, width in widths.items()))


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "-" if value is None else f"{value:,}" if type(value) is int else str(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.scheduling",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("--repeats", type=int, default=3, help="runs of each; the fastest counts (default: %(default)s)")
    p.add_argument("--largest", type=int, default=6, help="growth up to 10 to this power (default: %(default)s)")
    p.add_argument("--json", type=Path, help="also write all numbers here")
    options = p.parse_args(argv)
    tables = measure(options)
    report(tables)
    keep({name: [asdict(row) for row in rows] for name, rows in tables.items()}, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

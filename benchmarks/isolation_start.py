"""How long a job takes to start and end under its guard, with isolation and without, in one run.

    python -m benchmarks.isolation_start --jobs 30

Each job is a Python that says the time and ends; "begins" is from the order to that line, "known" from there to the
guard's answer. The two kinds take turns. Measured; no GPU and no Ray.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import msgspec

from kilowait.isolation.cgroup import GroupLimits
from kilowait.isolation.job_room import JobRoom
from kilowait.isolation.modes import IsolationSettings, holding, uid_of
from kilowait.isolation.python_folders import python_folders
from kilowait.measure.confinement import Confinement
from kilowait.measure.joblog import read_log
from kilowait.measure.outcome import RunOutcome
from kilowait.measure.ward import WardOrder

LIMITS = GroupLimits(memory_bytes=1 << 30, tasks=1000)


def one(folder: Path, *, isolated: bool, number: int) -> tuple[float, float]:
    """Seconds until the job's first line, and from there until its end is known."""
    places = {name: folder / f"{name}-{number}" for name in ("job", "tmp", "log")}
    for place in places.values():
        place.mkdir()
    (places["job"] / "m.py").write_text("import time; print(time.time())\n")
    room = JobRoom(
        folder=str(places["job"]),
        temporary=str(places["tmp"]),
        uid=uid_of(number),
        readable=tuple(python_folders()),
    )
    order = WardOrder(
        command=(sys.executable, "m.py"),
        environment={"PATH": os.environ["PATH"]},
        folder=str(places["job"]),
        log_folder=str(places["log"]),
        log_bytes=10_000,
        confinement=Confinement(name=f"bench-{os.getpid()}-{number}", room=room, limits=LIMITS) if isolated else None,
    )
    asked_s = time.time()
    with subprocess.Popen(
        [sys.executable, "-m", "kilowait.measure.ward"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])},
    ) as ward:
        assert ward.stdin is not None
        assert ward.stdout is not None
        ward.stdin.write(msgspec.json.encode(order) + b"\n")  # it stays open: a guard ends with whoever gave the order
        ward.stdin.flush()
        outcome = RunOutcome.from_json(ward.stdout.readline().decode())
        known_s = time.time()
    if outcome.failure is not None:
        raise RuntimeError(f"{outcome.failure}: {read_log(places['log'])[1].decode()}")
    began_s = float(read_log(places["log"])[1])
    return began_s - asked_s, known_s - began_s


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.isolation_start", description=__doc__)
    parser.add_argument("--jobs", type=int, default=30, metavar="N", help="of each kind (default: %(default)s)")
    jobs = parser.parse_args().jobs
    began_s = time.perf_counter()
    summary = holding(IsolationSettings()).summary
    tried_ms = (time.perf_counter() - began_s) * 1e3
    print(f"what holds here: {summary}; load {os.getloadavg()[0]:.1f}")
    print(f"finding that out takes {tried_ms:.1f} ms, which every runner does once, before its job (measured)")
    taken: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
    with tempfile.TemporaryDirectory(prefix="kilowait-") as folder:
        Path(folder).chmod(0o711)
        for number in range(2 * jobs):
            isolated = number % 2 == 1
            taken[isolated].append(one(Path(folder), isolated=isolated, number=number))
    medians = {kind: [median(values) * 1e3 for values in zip(*rows, strict=True)] for kind, rows in taken.items()}
    for kind, name in ((False, "without"), (True, "with isolation")):
        begins_ms, known_ms = medians[kind]
        print(f"{name:15} begins {begins_ms:7.1f} ms   known {known_ms:6.1f} ms   (medians of {jobs}, measured)")
    ratio = sum(medians[True]) / sum(medians[False])
    print(f"with / without: {ratio:.2f}, {sum(medians[True]) - sum(medians[False]):+.1f} ms a job")


if __name__ == "__main__":
    main()

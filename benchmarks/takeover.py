"""A cluster whose head is killed -9, and a standby on another that takes over: two real Ray clusters, one PostgreSQL.

    python -m benchmarks.takeover --postgres postgresql://user@host/empty

The first cluster runs jobs on pretended GPUs. Then its scheduler, its GCS and its head's raylet are killed -9 at one
moment: its worker nodes, and the jobs on them, live on. Said are the seconds until the standby has the history, until
the first job runs again, and how many jobs were lost or ran twice: an attempt began while an earlier one still lived.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from benchmarks.json_record import keep
from benchmarks.pretended_cluster import PretendedCluster, marks_in
from benchmarks.soak import run_twice

SECONDS = 20.0
"""That a job takes: longer than it may run on unheard."""


def serve(folder: str, url: str, lease_s: float, jobs: int) -> None:
    """In a process of its own: one cluster with its scheduler, until its standard input says what to do."""
    standby = jobs == 0
    world = PretendedCluster(Path(folder), url=url, lease_s=lease_s, standby=standby, a=("A100", 2))
    world.marks = Path(folder).parent / "marks"
    if not standby:
        print("up", flush=True)
        sys.stdin.readline()
        ids = [world.submit(f"job {n}", SECONDS) for n in range(jobs)]
        world.until(lambda: sum(word == "begins" for *_, word in world.marked()) >= 2)
        print(json.dumps({"ids": ids, "scheduler": world.ask("status")["pid"]}), flush=True)
        sys.stdin.readline()
        return
    print("up", flush=True)
    world.ask("status")
    print("has it", flush=True)
    ids = json.loads(sys.stdin.readline())
    rows = world.over(*ids, timeout_s=600.0)
    print(json.dumps([[row["state"], len(row["attempts"])] for row in rows]), flush=True)
    world.close()


def started(folder: Path, options: argparse.Namespace, jobs: int) -> subprocess.Popen[str]:
    """Such a process."""
    folder.mkdir()
    words = [sys.executable, "-m", "benchmarks.takeover", "--child", str(folder), "--postgres", options.postgres]
    words += ["--lease-s", str(options.lease_s), "--jobs", str(jobs)]
    environment = {**os.environ, "RAY_TMPDIR": str(folder)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen(words, text=True, env=environment, start_new_session=True, **pipes)  # type: ignore[call-overload]


def head_of(first: subprocess.Popen[str], scheduler_pid: int) -> list[psutil.Process]:
    """The processes of a cluster without which it has no head: GCS, its raylet, the scheduler, who started them."""
    below = psutil.Process(first.pid).children(recursive=True)
    gcs = [process for process in below if "gcs_server" in process.name()]
    raylets = sorted((p for p in below if p.name() == "raylet"), key=lambda p: p.create_time())
    return [psutil.Process(scheduler_pid), *gcs, *raylets[:1]]


def heard(process: subprocess.Popen[str]) -> str:
    """The next line that it says."""
    assert process.stdout is not None
    if not (line := process.stdout.readline()):
        raise RuntimeError("it ended; see above")
    return line.strip()


def tell(process: subprocess.Popen[str], line: str) -> None:
    """Give it a line."""
    assert process.stdin is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory(prefix="kw-") as name:
        folder = Path(name)
        marks = folder / "marks"
        first, second = started(folder / "a", options, options.jobs), None
        try:
            heard(first)
            second = started(folder / "b", options, 0)
            heard(second)
            tell(first, "submit")
            told = json.loads(heard(first))
            before = _begun(marks)
            for process in head_of(first, told["scheduler"]):
                process.send_signal(signal.SIGKILL)
            killed_s = time.monotonic()
            heard(second)
            taken_s = time.monotonic() - killed_s
            while _begun(marks) <= before:
                time.sleep(0.05)
            again_s = time.monotonic() - killed_s
            tell(second, json.dumps(told["ids"]))
            rows = json.loads(heard(second))
        finally:
            for one in filter(None, (first, second)):
                for process in [*psutil.Process(one.pid).children(recursive=True), one]:
                    process.kill()
        twice = run_twice(marks_in(marks))
    return {
        "lease_s": options.lease_s,
        "jobs": options.jobs,
        "taken_over_s": taken_s,
        "runs_again_s": again_s,
        "lost": sum(state != "finished" for state, _ in rows),
        "twice": len(twice),
        "attempts": sum(attempts for _, attempts in rows),
    }


def _begun(marks: Path) -> int:
    return sum(word == "begins" for *_, word in marks_in(marks))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benchmark; 1 where a job was lost or ran twice."""
    p = argparse.ArgumentParser(
        prog="python -m benchmarks.takeover", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--postgres", required=True, metavar="URL", help="of an empty database; $NAME is looked up")
    p.add_argument("--lease-s", type=float, default=15.0, help="(default: %(default)s)")
    p.add_argument("--jobs", type=int, default=4, help="(default: %(default)s)")
    p.add_argument("--json", type=Path, help="also write all numbers here")
    p.add_argument("--child", help=argparse.SUPPRESS)
    options = p.parse_args(argv)
    options.postgres = os.path.expandvars(options.postgres)
    if options.child:
        serve(options.child, options.postgres, options.lease_s, options.jobs)
        return 0
    found = measure(options)
    for name, value in found.items():
        print(f"{name:14} {value if isinstance(value, int) else f'{value:.1f}'}")
    keep(found, options.json)
    return 1 if found["lost"] or found["twice"] else 0


if __name__ == "__main__":
    sys.exit(main())

"""How long a job takes to start and to be known as ended: our runner against Ray's job submission API, on one cluster.

Each job takes one pretended GPU, one at a time. "begins" is from submission to the program's first line, "known" from
its last line to the answer that it ended. Then parts are killed -9: our scheduler (until it answers again), and the
process that holds a job's GPU (until the job begins again; Ray's job API has no second attempt). All measured.
"""

import argparse
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from ray.job_submission import JobStatus, JobSubmissionClient

from benchmarks.pretended_cluster import PretendedCluster
from kilowait.core.submission import Program

TIMES = "import sys, time\nfile = open(sys.argv[1], 'a')\nfile.write(f'{time.time()}\\n')\n"
SLEEPS = "import os, sys, time\nopen(sys.argv[1], 'a').write(f'{os.getpid()}\\n')\ntime.sleep(600)\n"
POLL_S = 0.02


def until(what: Callable[[], bool]) -> float:
    """Seconds until a condition holds, asked every POLL_S."""
    started = time.monotonic()
    while not what():
        if time.monotonic() - started > 60:
            return float("nan")
        time.sleep(POLL_S)
    return time.monotonic() - started


def lines(path: Path) -> list[str]:
    """What the programs wrote so far."""
    return path.read_text().split() if path.exists() else []


def alive(pid: str) -> bool:
    """Whether a process is there."""
    return Path(f"/proc/{pid}").exists()


class Ours:
    """Jobs through the scheduler and its runner."""

    name = "kilowait runner"

    def __init__(self, world: PretendedCluster) -> None:
        self._world, self._serial = world, 0

    def submit(self, text: str, marks: Path) -> str:
        """Ask for a job; its handle."""
        self._serial += 1
        program = Program(files={"m.py": text}, entrypoint="m.py", arguments=(str(marks),))
        return self._world.submit(f"ours-{self._serial}", program=program)

    def ended(self, handle: str) -> bool:
        """Whether the job is known to be over."""
        return str(self._world.ask("job", handle)["state"]) in ("finished", "failed", "cancelled")


class Theirs:
    """Jobs through Ray's job submission API."""

    name = "Ray job API"

    def __init__(self, address: str, folder: Path) -> None:
        self._client, self._folder = JobSubmissionClient(address), folder

    def submit(self, text: str, marks: Path) -> str:
        """Ask for a job; its handle."""
        program = self._folder / f"m-{time.time_ns()}.py"
        program.write_text(text)
        command = shlex.join([sys.executable, str(program), str(marks)])
        return str(self._client.submit_job(entrypoint=command, entrypoint_num_gpus=1))

    def ended(self, handle: str) -> bool:
        """Whether the job is known to be over."""
        status = JobStatus(self._client.get_job_status(handle))
        if status is JobStatus.FAILED:
            print(self._client.get_job_info(handle).message, file=sys.stderr)
        return bool(status.is_terminal())


def start_and_end(runner: Ours | Theirs, folder: Path, count: int) -> str:
    """Median seconds to begin and to be known as ended."""
    begins, known_s = [], []
    for n in range(count):
        marks, asked_s = folder / f"{runner.name}-{n}", time.time()
        handle = runner.submit(TIMES, marks)
        until(lambda handle=handle: runner.ended(handle))
        began_s = float(lines(marks)[0])
        begins.append(began_s - asked_s)
        known_s.append(time.time() - began_s)
    return f"begins {np.median(begins):.2f} s, known {np.median(known_s):.2f} s (medians of {count})"


def holder_of(job_pid: str) -> int:
    """The Ray worker above a job's process."""
    pid = int(job_pid)
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"ray::"):
            return pid
    raise RuntimeError(f"no Ray worker above process {job_pid}")


def kill_holder(runner: Ours | Theirs, folder: Path) -> str:
    """Kill -9 what holds the GPU of a running job; what becomes of the job."""
    marks = folder / f"{runner.name}-killed"
    handle = runner.submit(SLEEPS, marks)
    until(lambda: lines(marks) != [])
    (pid,) = lines(marks)
    os.kill(holder_of(pid), signal.SIGKILL)
    gone_s = until(lambda: not alive(pid))
    if isinstance(runner, Theirs):
        failed_s = until(lambda: runner.ended(handle))
        return f"its process is gone after {gone_s:.2f} s, the job failed after {failed_s + gone_s:.2f} s; no retry"
    again_s = until(lambda: len(lines(marks)) > 1)
    return f"its process is gone after {gone_s:.2f} s, its next attempt began after {gone_s + again_s:.2f} s"


def main() -> None:
    """Measure both on one cluster and print it."""
    parser = argparse.ArgumentParser(description=__doc__, epilog="example: python -m benchmarks.runner_start --jobs 5")
    parser.add_argument("--jobs", type=int, default=5, help="jobs of each, one after the other (default 5)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kilowait-start-") as name:
        folder = Path(name)
        world = PretendedCluster(folder, dashboard=True, a=("A100", 2))
        try:
            runners = Ours(world), Theirs(f"http://{world.ray.webui_url}", folder)
            for runner in runners:
                print(f"{runner.name}: {start_and_end(runner, folder, options.jobs)}", flush=True)
            for runner in runners:
                print(f"{runner.name}, its holder killed -9: {kill_holder(runner, folder)}", flush=True)
            world.kill_scheduler()
            print(f"scheduler killed -9: answers again after {until(lambda: bool(world.ask('status'))):.2f} s")
        finally:
            world.close()


if __name__ == "__main__":
    main()

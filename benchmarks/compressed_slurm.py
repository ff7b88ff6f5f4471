"""A real Slurm of Debian's whose clock runs fast: controller and one node of pretended processors, on this host.

libfaketime gives both daemons one clock, so that all of Slurm's own delays, limits and intervals hold in days that
take minutes. Jobs sleep, outside of that clock, for their run time over the speed. What starting and ending a job costs
here (0.1 s; on a busy machine a second) looks longer by the speed; limits are let out by three real seconds.
"""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.free_ports import free_ports
from benchmarks.own_slurm import HOST, controller_listens, found_program, write_configuration

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo", "faketime")
CONFIGURATION = """\
ClusterName=compressed
SlurmdSpoolDir={folder}/spool
SlurmdPidFile={folder}/slurmd.pid
SlurmdLogFile={folder}/slurmd.log
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/ended.txt
PriorityType=priority/basic
SchedulerParameters=bf_window={longest_min},bf_continue,bf_max_time=3600,bf_yield_interval=10000000
OverTimeLimit={over_min}
MessageTimeout=3600
TCPTimeout=600
BatchStartTimeout=3600
UnkillableStepTimeout=3600
SlurmdTimeout=0
InactiveLimit=0
MaxJobCount=100000
NodeName=big NodeHostname={host} NodeAddr=127.0.0.1 Port={node_port} CPUs={processors} RealMemory=1000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime={longest_min} State=UP
"""
DAEMONS = '{slurmctld} -D -i -f "$SLURM_CONF" & {slurmd} -D -N big -f "$SLURM_CONF" & wait'


@dataclass(frozen=True, slots=True, kw_only=True)
class StartedJob:
    """What Slurm says of a job that runs or is over (`end_s`); times in seconds of its clock."""

    submit_s: float
    start_s: float
    end_s: float | None
    state: str

    @property
    def wait_s(self) -> float:
        """From being submitted to being started."""
        return self.start_s - self.submit_s


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedSlurm:
    """`environment` makes Slurm's commands speak to it; `speed` is how many of its seconds pass in one."""

    folder: Path
    environment: Mapping[str, str]
    speed: float

    def submit(self, name: str, processors: int, limit_s: float, run_s: float) -> None:
        """`sbatch` of a job that runs for so long; its limit in whole minutes, rounded up."""
        words = [f"--job-name={name}", f"--ntasks={processors}", f"--time={max(1, -int(-limit_s // 60))}"]
        self.run("sbatch", *words, "--output=/dev/null", f"--wrap=sleep {run_s / self.speed:.4f}")

    def started(self) -> dict[str, StartedJob]:
        """Those that run or are over, by name."""
        file = self.folder / "ended.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        rows = [dict(word.partition("=")[::2] for word in line.split()) for line in lines]
        running = self.run("squeue", "--noheader", "--states=RUNNING,COMPLETING", "--format=%j %V %S %T").splitlines()
        found = {
            name: StartedJob(submit_s=_seconds(submit), start_s=_seconds(start), end_s=None, state=state)
            for name, submit, start, state in map(str.split, running)
        }
        ended = {
            row["Name"]: StartedJob(
                submit_s=_seconds(row["SubmitTime"]),
                start_s=_seconds(row["StartTime"]),
                end_s=_seconds(row["EndTime"]),
                state=row["JobState"],
            )
            for row in rows
            if row["NodeList"] not in ("", "(null)")
        }
        return found | ended

    def run(self, *words: str) -> str:
        """One of Slurm's commands; its output. Raises CalledProcessError where it fails."""
        return subprocess.run(words, env=self.environment, check=True, capture_output=True, text=True).stdout


def missing_programs() -> list[str]:
    """What this machine lacks of what is needed."""
    return [program for program in PROGRAMS if found_program(program) is None]


@contextmanager
def compressed_slurm(processors: int, longest_s: float, speed: float) -> Iterator[CompressedSlurm]:
    """One whose node is idle; ended in the end, its jobs too. Needs root, and `PROGRAMS`."""
    with tempfile.TemporaryDirectory(prefix="kilowait-slurm-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        file = _configured(folder, processors, longest_s, speed)
        environment = {"PATH": os.environ.get("PATH", os.defpath), "TZ": "UTC", "SLURM_CONF": str(file)}
        cluster = CompressedSlurm(folder=folder, environment=environment, speed=speed)
        script = DAEMONS.format(slurmctld=found_program("slurmctld"), slurmd=found_program("slurmd"))
        with (folder / "daemons.log").open("wb") as log:
            words = ["faketime", "-f", f"+0 x{speed:g}", "bash", "-c", script]
            daemons = subprocess.Popen(words, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _until(lambda: daemons.poll() is not None or _answers(cluster), "slurmctld does not listen")
            _until(lambda: "idle" in cluster.run("sinfo", "-h", "-o", "%T"), "the node does not come up")
            yield cluster
        finally:
            _end(cluster, daemons)


def _configured(folder: Path, processors: int, longest_s: float, speed: float) -> Path:
    port, node_port = free_ports(2)
    lines = CONFIGURATION.format(
        host=HOST,
        node_port=node_port,
        folder=folder,
        processors=processors,
        longest_min=-int(-longest_s // 60),
        over_min=-int(-speed // 20),
    )
    return write_configuration(folder, port, lines)


def _answers(cluster: CompressedSlurm) -> bool:
    return controller_listens(cluster.folder / "slurm.conf")


def _end(cluster: CompressedSlurm, daemons: subprocess.Popen[bytes]) -> None:
    """Nothing of it is left: its jobs first, then the daemons, by the numbers that they wrote."""
    try:
        if _answers(cluster):
            cluster.run("scancel", "--user=root")
            _until(lambda: not cluster.run("squeue", "-h"), "jobs that were cancelled are still there")
    finally:
        for name in ("slurmd.pid", "slurmctld.pid"):
            file = cluster.folder / name
            if file.exists() and (number := file.read_text().strip()):
                os.kill(int(number), signal.SIGTERM)
        try:
            daemons.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(daemons.pid, signal.SIGKILL)
            daemons.wait()


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _until(holds: Callable[[], bool], complaint: str, patience_s: float = 120.0) -> None:
    deadline_s = time.monotonic() + patience_s
    while not holds():
        if time.monotonic() > deadline_s:
            raise TimeoutError(complaint)
        time.sleep(0.1)

"""A real Slurm of a test's own on this host: a controller and a few nodes whose GPUs are ordinary files.

Everything lies in a temporary folder; nothing speaks to another Slurm. As root only: a slurmd runs jobs as others do.
"""

import os
import signal
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks.free_ports import free_ports
from benchmarks.own_slurm import HOST, controller_listens, found_program, write_configuration

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scontrol")
NODES = {"a0": "a100", "a1": "a100", "b0": "a6000", "b1": "a6000"}
FEATURES = {"a100": "fast", "a6000": "big"}
GPUS = 2
CORES = 8
PARTITIONS = """\
PartitionName=main Nodes=ALL Default=YES MaxTime=02:00:00 DefaultTime=01:00:00 State=UP
PartitionName=long Nodes=a0,a1 MaxTime=2-00:00:00 State=UP
"""
CONFIGURATION = """\
ClusterName=test
SlurmdSpoolDir={folder}/spool/%n
SlurmdPidFile={folder}/%n.pid
SlurmdLogFile={folder}/%n.log
SchedulerParameters=bf_interval=1,sched_interval=1,sched_min_interval=0
KillWait=2
GresTypes=gpu
{more}
{nodes}
{partitions}
"""


@dataclass(frozen=True, kw_only=True)
class SlurmCluster:
    """`environment` makes Slurm's commands speak to it."""

    folder: Path
    environment: dict[str, str]

    def run(self, *words, **more):
        """One of Slurm's commands; its output."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60, **more)
        assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}{done.stdout}"
        return done.stdout

    def job(self, job_id):
        """What `scontrol show job` says, by name."""
        words = self.run("scontrol", "show", "job", str(job_id), "--oneliner").split()
        return dict(word.partition("=")[::2] for word in words)

    def cancel_all(self):
        """Nothing of any job is left."""
        self.run("scancel", "--user=root")
        until(lambda: not self.run("squeue", "--noheader").strip(), "jobs that were cancelled are still there")


@contextmanager
def slurm(partitions=PARTITIONS, more="JobCompType=jobcomp/none", files=lambda folder: None):
    """A cluster whose nodes are all idle; ended in the end. Skips where Slurm is missing.

    `files` puts what else there is to be beside slurm.conf before the controller starts.
    """
    for program in PROGRAMS:
        if found_program(program) is None:
            pytest.skip(f"no {program} on this machine; apt-get install slurmctld slurmd slurm-client to run this test")
    if os.geteuid() != 0:
        pytest.skip("slurmd needs root")
    with tempfile.TemporaryDirectory(prefix="kilowait-slurm-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        configuration = _written(folder, partitions, more)
        files(folder)
        environment = {**os.environ, "SLURM_CONF": str(configuration)}
        daemons = [_started(folder, environment, found_program("slurmctld"), "-D", "-i", "-f", str(configuration))]
        try:
            until(lambda: controller_listens(configuration), "slurmctld does not listen", folder)
            daemons += [
                _started(folder, environment, found_program("slurmd"), "-D", "-N", node, "-f", str(configuration))
                for node in NODES
            ]
            cluster = SlurmCluster(folder=folder, environment=environment)
            until(
                lambda: cluster.run("sinfo", "-h", "-N", "-p", "main", "-o", "%T").split() == ["idle"] * len(NODES),
                "the nodes do not come up",
                folder,
            )
            yield cluster
        finally:
            for daemon in reversed(daemons):
                daemon.send_signal(signal.SIGTERM)
            for daemon in daemons:
                daemon.wait(30)


@contextmanager
def slurmrestd(cluster, where):
    """Slurm's HTTP server at `unix:PATH` or `HOST:PORT`, as the address that clients are given; skips where missing."""
    program = found_program("slurmrestd")
    if program is None:
        pytest.skip("no slurmrestd on this machine; apt-get install slurmrestd to run this test")
    environment = cluster.environment | {"SLURMRESTD_SECURITY": "disable_user_check"}  # it would not run as root
    server = _started(
        cluster.folder, environment, program, "-f", environment["SLURM_CONF"], "-s", "openapi/v0.0.38", where
    )
    try:
        address = where if where.startswith("unix:") else f"http://{where}"
        until(lambda: Path(where.removeprefix("unix:")).exists(), "slurmrestd does not listen", cluster.folder)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def _written(folder, partitions, more):
    """The configuration, with ports that were free a moment ago, and a file for each GPU."""
    port, *node_ports = free_ports(len(NODES) + 1)
    nodes, boards = [], []
    for (node, gpu_type), node_port in zip(NODES.items(), node_ports, strict=True):
        files = [folder / f"{node}-gpu{number}" for number in range(GPUS)]
        for file in files:
            file.touch()
        boards.append(f"NodeName={node} Name=gpu Type={gpu_type} File={folder}/{node}-gpu[0-{GPUS - 1}]")
        nodes.append(
            f"NodeName={node} NodeHostname={HOST} NodeAddr=127.0.0.1 Port={node_port} CPUs={CORES} RealMemory=1000 "
            f"Gres=gpu:{gpu_type}:{GPUS} Feature={FEATURES[gpu_type]} State=UNKNOWN"
        )
    (folder / "gres.conf").write_text("\n".join(boards) + "\n")
    lines = CONFIGURATION.format(folder=folder, nodes="\n".join(nodes), partitions=partitions, more=more)
    return write_configuration(folder, port, lines)


def _started(folder, environment, *words):
    with (folder / "daemons.log").open("ab") as log:
        return subprocess.Popen(words, env=environment, stdout=log, stderr=log, cwd=folder)


def until(holds, complaint="what was waited for does not come", folder=None, seconds=20):
    deadline_s = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline_s:
            logs = (
                ""
                if folder is None
                else "\n".join(
                    f"{log.name}: {log.read_text(errors='replace')[-1500:]}" for log in sorted(folder.glob("*.log"))
                )
            )
            raise RuntimeError(f"{complaint}\n{logs}")
        time.sleep(0.05)

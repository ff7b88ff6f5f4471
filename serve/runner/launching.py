"""The words that start a job's program on one of its nodes, behind the name of the Python that runs them."""

import asyncio
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import ray

import kilowait
from kilowait.core.errors import InputError
from kilowait.core.submission import BASH, PYTHON, Attempt, Program
from kilowait.core.units import WHOLE
from kilowait.isolation.job_room import USER
from kilowait.measure.allotment import Allotment
from kilowait.program.environment import is_secret

from .confine import JobFiles

SHELL = "import os, sys; os.execvp('bash', ['bash', *sys.argv[1:]])"

HEARING = """\
import os, runpy, signal, sys
def pass_on(number, _):
    for task in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{task}/children") as children:
            for child in map(int, children.read().split()):
                try:
                    if os.getpgid(child) != os.getpgrp():
                        os.kill(child, number)
                except OSError:
                    pass
signal.signal(int(sys.argv[1]), pass_on)
del sys.argv[:2]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Runs a launcher (its module and arguments behind a signal's number) so that it outlives the signal by which the
programs that it started are preempted; those that are in a session of their own are told by it."""


@dataclass(frozen=True, kw_only=True)
class OwnPart:
    """Which of the nodes of an attempt this is, by `rank`, and how many processes every one of them has."""

    rank: int
    processes: tuple[int, ...]

    @classmethod
    def of(cls, attempt: Attempt, rank: int) -> "OwnPart":
        """A process for each GPU, and one for a share of a GPU."""
        whole = attempt.gpu_milli == WHOLE
        return cls(rank=rank, processes=tuple(held.gpus if whole else 1 for held in attempt.where))


def words_of(program: Program, part: OwnPart, peers: Mapping[str, str]) -> tuple[str, ...]:
    """What stands behind `python`; `peers` are MASTER_ADDR and MASTER_PORT.

    Raises InputError where the launcher cannot start the program on nodes of different sizes.
    """
    called = (program.entrypoint, *program.arguments)
    if program.launcher == PYTHON:
        return called
    if program.launcher == BASH:
        return ("-c", SHELL, *called)
    nodes, address, port = len(part.processes), peers["MASTER_ADDR"], peers["MASTER_PORT"]
    if program.launcher == "torchrun":
        return (
            *(*_of_module(program, "torch.distributed.run"), f"--nnodes={nodes}", f"--node-rank={part.rank}"),
            *(f"--nproc-per-node={part.processes[part.rank]}", f"--master-addr={address}", f"--master-port={port}"),
            *called,
        )
    if len(set(part.processes)) > 1:
        raise InputError(
            f"accelerate starts as many processes on every node, and the nodes have {part.processes} GPUs; submit it "
            "with --one-node, or with --launcher torchrun"
        )
    several = ("--multi_gpu",) if sum(part.processes) > 1 else ()
    return (
        *(*_of_module(program, "accelerate.commands.launch"), f"--num_machines={nodes}", f"--machine_rank={part.rank}"),
        *(f"--num_processes={sum(part.processes)}", f"--main_process_ip={address}", f"--main_process_port={port}"),
        *("--mixed_precision=no", "--dynamo_backend=no", *several, *called),
    )


def _of_module(program: Program, launcher: str) -> tuple[str, ...]:
    """How its module is started: a launcher ends by a signal that it does not know, and with it what it started."""
    if program.checkpointing is None:
        return "-m", launcher
    return "-c", HEARING, str(program.checkpointing.signal_number), launcher


def with_python_first(path: str, python: str) -> str:
    """PATH with the folder of the job's Python before all others, so that a script finds it by its name."""
    return os.pathsep.join(filter(None, (os.path.dirname(python), path)))


def variables_of(
    program: Program, attempt: Attempt, allotment: Allotment, place: JobFiles, peers: Mapping[str, str]
) -> dict[str, str]:
    """All that the program sees in its environment, made from nothing of the service's."""
    own = {
        **program.environment,
        **{name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
        "HOME": place.home,
        "TMPDIR": place.temporary_name,
        "USER": USER,
        "LOGNAME": USER,
        "LANG": "C.UTF-8",
        "PYTHONPATH": os.pathsep.join(filter(None, (program.environment.get("PYTHONPATH"), place.home))),
        "PYTHONUNBUFFERED": "1",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        "CUDA_VISIBLE_DEVICES": ",".join(allotment.gpu_ids),
        "KILOWAIT_JOB_ID": attempt.job_id,
        "KILOWAIT_ATTEMPT": str(attempt.attempt),
        **peers,
    }
    if program.launcher == BASH and place.container is None:
        own["PATH"] = with_python_first(own.get("PATH", ""), program.python or sys.executable)
    return own


def hidden_of(program: Program) -> tuple[str, ...]:
    """Values that do not stand in the log: those of secrets, and of variables that hold one by their name or value."""
    environment = program.environment
    return tuple(v for name, v in environment.items() if name in program.secrets or is_secret(name, v))


def gpus_of_this_node() -> float:
    """How many GPUs Ray counts here."""
    here = ray.get_runtime_context().get_node_id()
    return next((float(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["NodeID"] == here), 0.0)


async def guard_process(inherited: Sequence[int]) -> asyncio.subprocess.Process:
    """The guard of a job, which waits for its order; it inherits these files beside its standard ones."""
    root = str(Path(kilowait.__file__).parents[1])
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "kilowait.measure.ward",
        str(os.getpid()),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": root},
        start_new_session=True,
        pass_fds=inherited,
    )

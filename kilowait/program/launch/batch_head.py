"""What the head of a batch script asks Slurm for (`#SBATCH` lines), and what a job of it sees."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kilowait.program.launch.option_words import OptionWords, first_number, split_options

_LINE = re.compile(r"^#SBATCH[ \t]+(.*)$", re.MULTILINE)
_SHORT = {"N": "nodes", "n": "ntasks", "G": "gpus", "t": "time", "c": "cpus_per_task", "a": "array"}


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchHead:
    """Nodes, tasks (0: not said), GPUs of a node, the time limit as written; `words` are the options themselves."""

    nodes: int
    tasks: int
    tasks_per_node: int
    gpus_per_node: int
    limit: str
    words: tuple[str, ...]

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the first task."""
        tasks = self.tasks or self.nodes * (self.tasks_per_node or 1)
        seen = {
            "SLURM_JOB_ID": "1",
            "SLURM_JOBID": "1",
            "SLURM_NNODES": str(self.nodes),
            "SLURM_JOB_NUM_NODES": str(self.nodes),
            "SLURM_NTASKS": str(tasks),
            "SLURM_NPROCS": str(tasks),
            "SLURM_NTASKS_PER_NODE": str(max(1, tasks // self.nodes)),
            "SLURM_TASKS_PER_NODE": str(max(1, tasks // self.nodes)),
            "SLURM_NODEID": "0",
            "SLURM_PROCID": "0",
            "SLURM_LOCALID": "0",
            "SLURM_ARRAY_TASK_ID": "0",
            "SLURM_JOB_NODELIST": "localhost",
            "SLURM_NODELIST": "localhost",
            "SLURM_SUBMIT_DIR": "/job",
            "SLURM_CPUS_PER_TASK": "8",
            "SLURMD_NODENAME": "localhost",
        }
        if self.gpus_per_node:
            seen |= {"SLURM_GPUS_ON_NODE": str(self.gpus_per_node), "SLURM_GPUS_PER_NODE": str(self.gpus_per_node)}
            seen |= {"CUDA_VISIBLE_DEVICES": ",".join(map(str, range(min(64, self.gpus_per_node))))}
        return seen


def batch_head(text: str) -> BatchHead | None:
    """What the lines ask for, None where there are none."""
    lines = [line.split(" #")[0].split() for line in _LINE.findall(text)]
    if not lines:
        return None
    words = [word for line in lines for word in line]
    options = split_options(words)
    nodes = first_number(_value(options, "nodes").rpartition("-")[2]) or 1
    return BatchHead(
        nodes=nodes,
        tasks=first_number(_value(options, "ntasks")),
        tasks_per_node=first_number(_value(options, "ntasks_per_node")),
        gpus_per_node=_gpus_per_node(options, nodes),
        limit=_value(options, "time"),
        words=_readable(words),
    )


def _value(options: OptionWords, name: str) -> str:
    return options.value(name, *(short for short, long in _SHORT.items() if long == name))


def _gpus_per_node(options: OptionWords, nodes: int) -> int:
    per_node = _count(_value(options, "gpus_per_node")) or _count(_value(options, "gres"))
    if per_node:
        return per_node
    tasks = first_number(_value(options, "ntasks_per_node")) or first_number(_value(options, "ntasks")) // nodes or 1
    total = _count(_value(options, "gpus"))
    return -(-total // nodes) if total else _count(_value(options, "gpus_per_task")) * tasks


def _count(text: str) -> int:
    """The number in `4`, `a100:4`, `gpu:4`, `gpu:a100:4`; one for `gpu`."""
    part = next((part for part in text.split(",") if "gpu" in part), text.split(",")[0])
    return first_number(part.rpartition(":")[2]) or (1 if part in ("gpu", "gpus") else 0)


def _readable(words: Sequence[str]) -> tuple[str, ...]:
    """The options with their long names, as GPUs are read from."""
    short = {f"-{name}": f"--{long}" for name, long in _SHORT.items()}
    return tuple(short.get(word, word) for word in words)

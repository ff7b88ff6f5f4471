"""The queue as `squeue` tells it: every job that waits or runs, an array's tasks one by one."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from kilowait.advise.slurm.batch_request import type_named
from kilowait.advise.slurm.slurm_commands import output_of
from kilowait.advise.slurm.slurm_time import seconds_of

SEPARATOR = "\x1f"
"""Between the columns: constraints and comments have every sign that can be typed."""
COLUMNS = (
    "JobArrayID", "State", "UserName", "Partition", "NumNodes", "NumTasks", "tres-per-job", "tres-per-node",
    "tres-per-task", "Feature", "TimeLimit", "TimeUsed", "PriorityLong", "Nice", "NodeList", "Reason",
    "StartTime", "Comment",
)  # fmt: skip
QUESTION = ("squeue", "--noheader", "--all", "--array", "--Format=" + ",".join(f"{c}:{SEPARATOR}" for c in COLUMNS))
_COUNT = re.compile(r"gpu(?::([^:(),=]+))?(?:[:=](\d+))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmJob:
    """One job: `gpus` in all, `gpu_word` the type that it named ("" for none), seconds of its limit and so far.

    `nodes` are those on which it runs, `node_count` how many it asks for. Its `priority` is what is left with its
    `nice` value taken off. `slurm_start` is when Slurm plans its start, in UTC.
    """

    job_id: str
    state: str
    user: str
    partitions: tuple[str, ...]
    node_count: int
    gpus: int
    gpu_word: str
    constraint: str
    limit_s: float
    used_s: float
    priority: int
    nice: int
    nodes: tuple[str, ...]
    reason: str
    slurm_start: str
    comment: str

    @property
    def runs(self) -> bool:
        """Whether it holds its GPUs now."""
        return self.state in ("RUNNING", "COMPLETING", "SUSPENDED", "STAGE_OUT", "STOPPED")

    @property
    def may_start(self) -> bool:
        """Whether it waits for nothing but its turn."""
        return self.state == "PENDING" and self.reason.startswith(_ITS_TURN)


_ITS_TURN = ("None", "Resources", "Priority", "ReqNodeNotAvail", "Cleaning", "Prolog", "Nodes required for job are")
"""How reasons begin: squeue writes a sentence, or nodes behind a comma, where Slurm has more to say."""


def ask_queue() -> list[SlurmJob]:
    """Every job that waits or runs; raises ServiceError where squeue does not answer."""
    return read_queue(output_of(QUESTION))


def read_queue(text: str) -> list[SlurmJob]:
    """Of what `QUESTION` prints."""
    rows = [line.split(SEPARATOR) for line in text.split("\n") if line.count(SEPARATOR) >= len(COLUMNS) - 1]
    return [job_of_columns(dict(zip(COLUMNS, row, strict=False))) for row in rows]


def job_of_columns(row: Mapping[str, str]) -> SlurmJob:
    """A job of what squeue prints, or of what says the same, by column; raises InputError for a time that is none."""
    nodes, tasks = _number(row["NumNodes"]), _number(row["NumTasks"])
    gpus, word = _gpus(row, max(1, nodes), max(1, tasks))
    limit_s = seconds_of(row["TimeLimit"])
    return SlurmJob(
        job_id=row["JobArrayID"],
        state=row["State"],
        user=row["UserName"],
        partitions=tuple(row["Partition"].split(",")),
        node_count=max(1, nodes),
        gpus=gpus,
        gpu_word=word,
        constraint=_said(row["Feature"]),
        limit_s=math.inf if limit_s is None else limit_s,
        used_s=seconds_of(row["TimeUsed"]) or 0.0,
        priority=_number(row["PriorityLong"]),
        nice=int(row["Nice"]) if re.fullmatch(r"-?\d+", row["Nice"]) else 0,
        nodes=tuple(expanded(_said(row["NodeList"]))),
        reason=_said(row["Reason"]) or "None",
        slurm_start=f"{start}Z" if (start := _said(row["StartTime"])) else "",
        comment=_said(row.get("Comment", "")),
    )


def _gpus(row: Mapping[str, str], nodes: int, tasks: int) -> tuple[int, str]:
    """(GPUs in all, the type that was named) of what was asked for by job, node or task."""
    for column, times in (("tres-per-job", 1), ("tres-per-node", nodes), ("tres-per-task", tasks)):
        found = [_COUNT.search(part.replace("gres/", "")) for part in row[column].split(",") if "gpu" in part]
        counts = [_counted_gpus(match) for match in found if match]
        if counts:
            word = type_named("gres", row[column].replace("gres:", "").replace("gres/", "").replace("=", ":"))
            return sum(counts) * times, word or ""
    return 0, ""


def _counted_gpus(match: re.Match[str]) -> int:
    """Of `gpu:2`, `gpu:a100:2`, `gpu=2`, `gpu`."""
    if match[2]:
        return int(match[2])
    return int(match[1]) if match[1] and match[1].isdigit() else 1


def _said(text: str) -> str:
    return "" if text in ("(null)", "N/A", "None") else text


def _number(text: str) -> int:
    match = re.match(r"\d+", text)
    return int(match[0]) if match else 0


def expanded(hosts: str) -> list[str]:
    """`a[0-1,7],b2` as a0, a1, a7, b2; zeros in front are kept."""
    found = []
    for part in re.findall(r"[^,\[]+(?:\[[^\]]*\][^,\[]*)*", hosts):
        names = [""]
        for text, inside in re.findall(r"([^\[]+)|\[([^\]]*)\]", part):
            choices = [text] if text else [name for word in inside.split(",") for name in _counted(word)]
            names = [name + choice for name in names for choice in choices]
        found += names
    return found


def _counted(word: str) -> list[str]:
    first, dash, last = word.partition("-")
    if not dash:
        return [word]
    return [f"{number:0{len(first)}}" for number in range(int(first), int(last) + 1)]

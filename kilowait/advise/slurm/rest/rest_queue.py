"""Jobs and partitions as slurmrestd tells them, written as `squeue` and `sinfo` would and read as theirs.

Numbers are numbers up to v0.0.38 of the interface, and later objects that say whether they are set; states are words
and later lists. Tried with v0.0.38 alone; the later forms are understood after Slurm's documentation.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from kilowait.advise.slurm.partitions import DOWN, SlurmPartition, partitions_of_columns
from kilowait.advise.slurm.rest.rest_server import Ask
from kilowait.advise.slurm.slurm_queue import SlurmJob, expanded, job_of_columns
from kilowait.advise.slurm.slurm_time import written_time

Json = Mapping[str, Any]
_OVER = frozenset(
    {
        *("COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL", "DEADLINE"),
        *("OUT_OF_MEMORY", "REVOKED"),
    }
)
_AWAY = (*DOWN, "not_resp", "reboot")
"""As `DOWN`, and words for what sinfo puts as a sign behind its own."""
_ENDLESS = 2**32 - 1
"""`INFINITE`; one below it stands for no value."""
MOST_TASKS = 10_000
"""Of one array, that are looked at one by one."""


def rest_jobs(ask: Ask, now_s: float) -> list[SlurmJob]:
    """Every job that waits or runs, an array's tasks one by one; `now_s` is since the epoch. Raises ServiceError."""
    rows = (row for job in ask("jobs").get("jobs") or () for row in _rows(job, now_s))
    return [job_of_columns(row) for row in rows]


def rest_partitions(ask: Ask) -> dict[str, SlurmPartition]:
    """The partitions by name, with their nodes; raises ServiceError."""
    nodes = {str(node.get("name")): node for node in ask("nodes").get("nodes") or ()}
    rows = [
        (name, *_limits(partition), *_described(nodes[name]))
        for partition in ask("partitions").get("partitions") or ()
        for name in expanded(_configured(partition))
        if name in nodes
    ]
    return partitions_of_columns(rows)


def _rows(job: Json, now_s: float) -> Iterator[dict[str, str]]:
    """A job by squeue's columns; several of an array whose tasks have not started."""
    states = _words(job.get("job_state"))
    state = "COMPLETING" if "COMPLETING" in states else next(iter(states), "")
    if state in _OVER or not state:
        return
    row = {
        "State": state,
        "UserName": str(job.get("user_name") or ""),
        "Partition": str(job.get("partition") or ""),
        "NumNodes": _text(job.get("node_count")),
        "NumTasks": _text(job.get("tasks")),
        "tres-per-job": str(job.get("tres_per_job") or ""),
        "tres-per-node": str(job.get("tres_per_node") or ""),
        "tres-per-task": str(job.get("tres_per_task") or ""),
        "Feature": str(job.get("features") or ""),
        "TimeLimit": _limit(job.get("time_limit")),
        "TimeUsed": written_time(_used_s(job, state, now_s)),
        "PriorityLong": _text(job.get("priority")),
        "Nice": _text(job.get("nice")),
        "NodeList": str(job.get("nodes") or ""),
        "Reason": str(job.get("state_reason") or ""),
        "StartTime": _moment(job.get("start_time")),
        "Comment": str(_comment(job.get("comment"))),
    }
    yield from ({**row, "JobArrayID": name} for name in _names(job))


def _names(job: Json) -> list[str]:
    array, task = _number(job.get("array_job_id")), _number(job.get("array_task_id"))
    if not array:
        return [_text(job.get("job_id"))]
    waiting = str(job.get("array_task_string") or "")
    if not waiting:
        return [f"{array}_{task or 0}"]
    return [f"{array}_{number}" for number in _tasks(waiting)][:MOST_TASKS]


def _tasks(text: str) -> Iterator[int]:
    """Of `0-4,9%2` and `0-8:4`."""
    for first, last, step in re.findall(r"(\d+)(?:-(\d+)(?::(\d+))?)?", text.partition("%")[0]):
        every = int(step or 1)
        yield from range(int(first), min(int(last or first), int(first) + MOST_TASKS * every) + 1, every)


def _used_s(job: Json, state: str, now_s: float) -> float:
    """Seconds that it has run, those in which it was suspended left out."""
    before_s, suspended_s = _number(job.get("pre_sus_time")) or 0, _number(job.get("suspend_time")) or 0
    if state == "PENDING":
        return 0.0
    if state == "SUSPENDED":
        return float(before_s)
    return max(0.0, before_s + now_s - (suspended_s or _number(job.get("start_time")) or now_s))


def _limits(partition: Json) -> tuple[str, str, str]:
    """Name, longest time, default time as sinfo has them."""
    most, default = partition.get("max_time_limit"), partition.get("default_time_limit")
    most = partition.get("maximums", {}).get("time") if "maximums" in partition else most
    default = partition.get("defaults", {}).get("time") if "defaults" in partition else default
    star = "*" if "default" in str(partition.get("flags", "")).lower() else ""
    return f"{partition.get('name')}{star}", _limit(most) or "infinite", _limit(default) or "n/a"


def _configured(partition: Json) -> str:
    nodes = partition.get("nodes") or ""
    return str(nodes.get("configured") or "" if isinstance(nodes, Mapping) else nodes)


def _described(node: Json) -> tuple[str, str, str]:
    """State, GPUs and features as sinfo has them; of several states the one that keeps jobs away."""
    states = [word.lower() for word in (*_words(node.get("state")), *_words(node.get("state_flags")))]
    state = next((word for word in states if word.startswith(_AWAY)), next(iter(states), "unknown"))
    features = node.get("features") or ""
    written = ",".join(map(str, features)) if isinstance(features, list) else str(features)
    return "down" if state.startswith(_AWAY) else state, str(node.get("gres") or ""), written


def _words(value: Any) -> list[str]:
    return [str(one) for one in value] if isinstance(value, list) else [str(value)] if value else []


def _number(value: Any) -> int | None:
    """Nothing where it is not set."""
    if isinstance(value, Mapping):
        if value.get("infinite"):
            return _ENDLESS
        value = value.get("number") if value.get("set") else None
    return int(value) if isinstance(value, int | float) and value != _ENDLESS - 1 else None


def _text(value: Any) -> str:
    number = _number(value)
    return "" if number is None else str(number)


def _limit(value: Any) -> str:
    """Minutes as Slurm's commands take them."""
    number = _number(value)
    return "" if not number else "UNLIMITED" if number == _ENDLESS else str(number)


def _comment(value: Any) -> Any:
    """Later versions keep the administrator's and the system's comments beside the job's own."""
    return (value.get("job") or "") if isinstance(value, Mapping) else value or ""


def _moment(value: Any) -> str:
    seconds = _number(value)
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S") if seconds else ""

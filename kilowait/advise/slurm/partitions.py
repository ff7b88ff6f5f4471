"""Partitions and the GPUs in them, as `sinfo` tells them."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kilowait.advise.slurm.gpu_words import catalogue_type
from kilowait.advise.slurm.slurm_commands import output_of
from kilowait.advise.slurm.slurm_time import seconds_of

QUESTION = ("sinfo", "--noheader", "--Node", "--format=%N|%P|%l|%L|%T|%G|%f")
DOWN = ("down", "drain", "fail", "maint", "boot", "power", "unk", "inval", "no_resp", "future", "reserved", "perf")
"""How states begin in which a node takes no jobs."""
_GPU = re.compile(r"gpu(?::([^:(),]+))?:(\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuBoards:
    """`count` boards of a node: `word` is what Slurm calls their type ("" for nothing), `gpu_type` the catalogue.

    `by_feature` says that the type is a feature of the node, and is asked for as a constraint.
    """

    word: str
    gpu_type: str | None
    count: int
    by_feature: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmNode:
    """A node in one partition."""

    name: str
    partition: str
    up: bool
    boards: tuple[GpuBoards, ...]
    features: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class SlurmPartition:
    """A partition: seconds that a job of it may run at most (infinity: no limit) and gets where it says nothing."""

    name: str
    is_default: bool
    most_s: float
    default_s: float | None
    nodes: tuple[SlurmNode, ...]


def ask_partitions() -> dict[str, SlurmPartition]:
    """The partitions by name; raises ServiceError where sinfo does not answer."""
    return read_partitions(output_of(QUESTION))


def read_partitions(text: str) -> dict[str, SlurmPartition]:
    """Of what `QUESTION` prints."""
    return partitions_of_columns([line.split("|") for line in text.splitlines() if line.count("|") == 6])


def partitions_of_columns(rows: Sequence[Sequence[str]]) -> dict[str, SlurmPartition]:
    """Of a row for each node of each partition, with the columns of `QUESTION`, from sinfo or what says the same.

    Raises InputError for a time that is none.
    """
    found: dict[str, SlurmPartition] = {}
    for name in dict.fromkeys(row[1].rstrip("*") for row in rows):
        own = [row for row in rows if row[1].rstrip("*") == name]
        most_s, default_s = seconds_of(own[0][2]), seconds_of(own[0][3])
        found[name] = SlurmPartition(
            name=name,
            is_default=any(row[1].endswith("*") for row in own),
            most_s=math.inf if most_s is None else most_s,
            default_s=default_s,
            nodes=tuple(_node(row, name) for row in own),
        )
    return found


def _node(row: Sequence[str], partition: str) -> SlurmNode:
    state, features = row[4].lower(), frozenset(row[6].replace("(null)", "").split(",")) - {""}
    return SlurmNode(
        name=row[0],
        partition=partition,
        up=not state.rstrip("*~#!%$@^-+ ").startswith(DOWN) and not state.endswith("*"),
        boards=tuple(_boards(row[5], features)),
        features=features,
    )


def _boards(gres: str, features: Iterable[str]) -> Iterable[GpuBoards]:
    """What stands in `gpu:a100:2(S:0-1),gpu:t4:4`; a node's one untyped kind takes its type from a feature."""
    for word, count in _GPU.findall(gres):
        feature = next((name for name in sorted(features) if catalogue_type(name)), "") if not word else ""
        name = word or feature
        yield GpuBoards(word=name, gpu_type=catalogue_type(name), count=int(count), by_feature=bool(feature))


def meant(partitions: Mapping[str, SlurmPartition], named: str | None) -> list[SlurmPartition]:
    """The partitions that a job may go to: those named, or the default one."""
    if named:
        return [partitions[name] for name in named.split(",") if name in partitions]
    return [partition for partition in partitions.values() if partition.is_default]


def satisfies(constraint: str | None, features: frozenset[str]) -> bool:
    """Whether a node has what `a`, `a&b` or `a|b` asks for; of other forms any node is taken to have it."""
    if not constraint or re.search(r"[\[\]()*]", constraint):
        return True
    return any(all(part in features for part in choice.split("&")) for choice in re.split(r"[|,]", constraint))

"""What jobs want of a cluster, as arrays: the numbers of an allocation's linear program."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from kilowait.cluster.standing import Active, Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.arrays import FloatArray
from kilowait.core.units import WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """Groups of alike jobs: M groups, J GPU types.

    `seconds` (M, J) and `kwh` (M, J) are of a whole job, seconds infinite where it may not run; `gpus` (M, J) is
    a_mj, `width` (M,) a job's scale factor, `jobs` (M,) how many jobs a group has, `total` (J,) the GPUs.
    """

    seconds: FloatArray
    kwh: FloatArray
    gpus: FloatArray
    width: FloatArray
    jobs: FloatArray
    total: FloatArray


class _Pair(NamedTuple):
    column: int
    gpus: float
    seconds: float
    kwh: float


_Row = tuple[float, tuple[_Pair, ...]]
"""All that the program knows of a job: its scale factor and the pairs that it may use."""


def demand_of(cluster: Cluster, waiting: Iterable[Waiting]) -> tuple[Demand, Sequence[Sequence[str]]]:
    """The demand of the running jobs, each on the type it holds alone, and of `waiting`; the job ids of each group.

    Jobs that are alike in everything the program knows are one group, in the order of their first.
    """
    column_of = {gpu_type: column for column, gpu_type in enumerate(cluster.total)}
    groups: defaultdict[_Row, list[str]] = defaultdict(list)
    for entry, types in _jobs(cluster, waiting):
        groups[_row(entry, types, column_of)].append(entry.job.job_id)
    members = list(groups.values())
    return _arrays(list(groups), [len(job_ids) for job_ids in members], list(cluster.total.values())), members


def _jobs(cluster: Cluster, waiting: Iterable[Waiting]) -> Iterator[tuple[Active | Waiting, Sequence[str]]]:
    for active in sorted(cluster.active.values(), key=lambda a: a.job.job_id):
        if cluster.total[active.gpu_type]:  # where all drain there is nothing to share
            yield active, (active.gpu_type,)
    for entry in waiting:
        yield entry, cluster.options(entry)


def _row(entry: Active | Waiting, types: Iterable[str], column_of: dict[str, int]) -> _Row:
    job, predictions = entry.job, entry.predictions
    pairs = (_Pair(column_of[t], job.amount_on(t), predictions[t].runtime_s, predictions[t].energy_kwh) for t in types)
    return job.gpus * job.gpu_milli / WHOLE, tuple(pairs)


def _arrays(rows: Sequence[_Row], jobs: Sequence[int], total: Sequence[int]) -> Demand:
    shape = len(rows), len(total)
    seconds, kwh, gpus = np.full(shape, np.inf), np.zeros(shape), np.zeros(shape)
    for row, (_, pairs) in enumerate(rows):
        for pair in pairs:
            cell = row, pair.column
            seconds[cell], kwh[cell], gpus[cell] = pair.seconds, pair.kwh, pair.gpus
    return Demand(
        seconds=seconds,
        kwh=kwh,
        gpus=gpus,
        width=np.array([width for width, _ in rows], dtype=float),
        jobs=np.array(jobs, dtype=float),
        total=np.array(total, dtype=float),
    )

"""Programs as sums of works: which works there are, and how often each program calls each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.predict.device_model.roofline import Columns, device_seconds, host_seconds, program_work
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.work import SCALES, Work, work_of
from kilowait.predict.dryrun.record import DryRun

SHARPNESS = 4.0
"""Of the corner between device and host where the host launches ahead, (d^4 + h^4)^(1/4); elsewhere it is d + h."""


@dataclass(frozen=True, slots=True)
class Workload:
    """P programs over U distinct works: entry i is `count` calls of work[i] by program[i] (E,).

    Efficiencies are those of V `marks`: work u has that of marks[mark[u]], itself or one that is much like it.
    """

    columns: Columns
    program: IntArray
    work: IntArray
    count: FloatArray
    programs: int
    marks: tuple[Work, ...]
    mark: IntArray

    @classmethod
    def of(cls, dry_runs: Sequence[DryRun], *, grid: float = 0.0, reading: int = 1, radius: float = 0.0) -> "Workload":
        """The works of dry runs; equal ones are one, and each program has its `program_work` once.

        With a `grid` > 0 works whose shapes fall into one cell of so many `SCALES` count as one, called as often as
        keeps its FLOPs and bytes: whole corpora of training scripts have too many different shapes else. With a
        `radius` > 0 every work keeps its own FLOPs and bytes, and shares the mark of one no farther in `SCALES`.
        `reading` as in `work_of`.
        """
        index: dict[Work, int] = {program_work(): 0}
        cells: dict[tuple[object, ...], Work] = {}
        entries: dict[tuple[int, int], float] = {}
        for p, run in enumerate(dry_runs):
            entries[p, 0] = 1.0
            for operation in run.operations:
                if operation.device == run.target and operation.count > 0:
                    work = work_of(operation, reading)
                    representative = cells.setdefault(_cell(work, grid), work) if grid else work
                    u = index.setdefault(representative, len(index))
                    entries[p, u] = entries.get((p, u), 0.0) + operation.count * _calls(work, representative)
        pairs = np.array(list(entries), dtype=np.int64).reshape(-1, 2)
        works = tuple(index)
        kept, mark = net(works, radius)
        return cls(
            columns=Columns.of(works),
            marks=tuple(works[i] for i in kept),
            mark=mark,
            program=pairs[:, 0],
            work=pairs[:, 1],
            count=np.array(list(entries.values())),
            programs=len(dry_runs),
        )

    @property
    def size(self) -> int:
        """U."""
        return len(self.columns.works)

    def added(self, values: FloatArray) -> FloatArray:
        """values (E, ...) added up by program (P, ...)."""
        columns = values.reshape(len(values), -1).T
        added = [np.bincount(self.program, weights=column, minlength=self.programs) for column in columns]
        return np.array(added, dtype=np.float64).T.reshape(self.programs, *values.shape[1:])


def net(works: Sequence[Work], radius: float) -> tuple[list[int], IntArray]:
    """Works that are within `radius` of every other one of their kind, and which of them each work is nearest to (U,).

    Gonzalez' choice: the farthest from those taken is taken next. Kinds are group, operator, variant.
    """
    if not radius:
        return list(range(len(works))), np.arange(len(works))
    kinds: dict[tuple[object, ...], list[int]] = {}
    for u, work in enumerate(works):
        kinds.setdefault((work.group, work.op, work.variant), []).append(u)
    kept: list[int] = []
    mark = np.zeros(len(works), dtype=np.int64)
    for members in kinds.values():
        shapes = np.array([works[u].shape for u in members]) / SCALES
        nearest, farthest = np.full(len(members), np.inf), 0
        while nearest[farthest] > radius:
            distance = np.sqrt(((shapes - shapes[farthest]) ** 2).sum(1))
            mark[np.array(members)[distance < nearest]] = len(kept)
            nearest = np.minimum(nearest, distance)
            kept.append(members[farthest])
            farthest = int(nearest.argmax())
    return kept, mark


def _cell(work: Work, grid: float) -> tuple[object, ...]:
    cell = np.round(np.array(work.shape) / (grid * SCALES)).astype(int)
    return (work.group, work.op, work.dtype, work.variant, work.matrix, work.kernels, *cell.tolist())


def _calls(work: Work, stands: Work) -> float:
    """How many calls of the one that stands for it are the same work."""
    return math.sqrt(work.flops / stands.flops * work.bytes_moved / stands.bytes_moved)


@dataclass(frozen=True, slots=True)
class Baseline:
    """Logarithms of roofline seconds (U, D) and of host seconds (U, D), before anything is learned.

    `corner` (D,) is how the two meet on each type.
    """

    device: FloatArray
    host: FloatArray
    corner: FloatArray

    @classmethod
    def of(cls, columns: Columns, devices: Sequence[Specification], *, tf32: bool = False) -> "Baseline":
        """What the sheets of D devices say about U works, and what a site measured of its own."""
        device = np.stack([d.device_factor * device_seconds(columns, d, tf32=tf32) for d in devices], axis=1)
        host = np.stack([d.host_factor * host_seconds(columns, d) for d in devices], axis=1)
        corner = np.array([SHARPNESS if d.ahead else 1.0 for d in devices])
        return cls(device=np.log(device), host=np.log(host), corner=corner)


@dataclass(frozen=True, slots=True)
class WorkloadTotals:
    """log seconds (P, D), and how they follow the works: d log T / d log t of each entry (E, D), device and host.

    `busy` (E, D) is the share of the run time that the device spends on each entry.
    """

    log_s: FloatArray
    device_share: FloatArray
    host_share: FloatArray
    busy: FloatArray


def totals(load: Workload, device: FloatArray, host: FloatArray, corner: FloatArray) -> WorkloadTotals:
    """Run times from log seconds of works (U, D), meeting at `corner` (D,): a GPU works while its host launches."""
    d = load.count[:, None] * np.exp(device[load.work])
    h = load.count[:, None] * np.exp(host[load.work])
    device_s, host_s = load.added(d), load.added(h)
    total = (device_s**corner + host_s**corner) ** (1 / corner)
    on_device, on_host = (device_s / total) ** corner, (host_s / total) ** corner
    return WorkloadTotals(
        log_s=np.log(total),
        device_share=d / device_s[load.program] * on_device[load.program],
        host_share=h / host_s[load.program] * on_host[load.program],
        busy=d / total[load.program],
    )

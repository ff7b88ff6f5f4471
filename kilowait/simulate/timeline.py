"""A run as a picture: a row a board, a bar an attempt, and a frame around the time for which a job was held.

A job is held while it waits though a type that it may use has room for it: the policy keeps it for another type, or
keeps the room for another job. The frame is on the rows where the job then ran. Plain SVG, without a library.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from kilowait.cluster.advance import advance
from kilowait.cluster.events import GpusJoined, JobPlaced
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Held
from kilowait.report.board_rows import BoardRows, Row
from kilowait.report.gantt import BoardBar, Gantt
from kilowait.simulate.run import Placement, Run

WIDTH = 1100
"""Pixels of the picture."""

HUES = (211, 352, 130, 300, 54, 190, 24, 95)


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnAttempt:
    """An attempt on its boards. `held_s` is since when its job had been held, None where it was not."""

    placement: Placement
    rows: tuple[Row, ...]
    held_s: float | None


def bars(run: Run) -> tuple[tuple[Row, ...], tuple[DrawnAttempt, ...]]:
    """All boards by type and node, and every attempt on the ones that it had.

    Boards of a node are numbered as they are first free; where the run did not tell nodes apart a type has one.
    """
    where = {(e.job_id, e.attempt): e.where for e in run.log if isinstance(e, JobPlaced)}
    nodes = {(e.gpu_type, e.node): e.gpus for e in run.log if isinstance(e, GpusJoined)}
    boards, since_s, found = BoardRows(nodes), holds(run), list[DrawnAttempt]()
    for p in sorted(run.placements, key=lambda p: p.start_s):
        only = next(node for gpu_type, node in nodes if gpu_type == p.gpu_type)
        allocations = where.get((p.job_id, p.attempt)) or (Held(node=only, gpus=p.gpus),)
        rows = boards.give(p.gpu_type, allocations, p.start_s, p.end_s)
        found.append(DrawnAttempt(placement=p, rows=rows, held_s=since_s.get((p.job_id, p.attempt))))
    return boards.rows, tuple(found)


def holds(run: Run) -> Mapping[tuple[str, int], float]:
    """By attempt that was held, since when: the log replayed, and looked at after every instant."""
    cluster, since_s, found = Cluster(), dict[str, float](), dict[tuple[str, int], float]()
    for time_s, events in groupby(run.log, key=lambda event: event.time_s):
        for event in events:
            if isinstance(event, JobPlaced) and since_s.get(event.job_id, time_s) < time_s:
                found[event.job_id, event.attempt] = since_s.pop(event.job_id)
            advance(cluster, event)
        room = cluster.room()
        for waiting in cluster.queue():
            if room.fitting(waiting):
                since_s.setdefault(waiting.job.job_id, time_s)
            else:
                since_s.pop(waiting.job.job_id, None)
    return found


def timeline(run: Run, title: str) -> str:
    """The picture of a run as SVG text; modelled, as the run is."""
    rows, found = bars(run)
    hue_of: defaultdict[str, int] = defaultdict(lambda: HUES[len(hue_of) % len(HUES)])
    picture = Gantt(
        rows=rows,
        bars=[_drawn(one, hue_of[one.placement.job_id]) for one in found],
        start_s=0.0,
        end_s=max((one.placement.end_s for one in found), default=1.0),
        width_px=WIDTH,
        title=f"{title} (modelled; dashed: held though something fitted)",
    )
    return picture.svg()


def _drawn(one: DrawnAttempt, hue: int) -> BoardBar:
    p = one.placement
    held = "" if one.held_s is None else f", held from {one.held_s:,.0f} s"
    return BoardBar(
        rows=one.rows,
        start_s=p.start_s,
        end_s=p.end_s,
        text=f"{p.job_id}: submitted {p.submit_s:,.0f} s{held}, ran {p.start_s:,.0f} to {p.end_s:,.0f} s on "
        f"{p.gpus} {p.gpu_type}, {p.energy_kwh:.3g} kWh",
        held_s=one.held_s,
        colour=f"hsl({hue} 55% 55%)",
        opacity=0.35 + 0.55 * p.gpu_milli / 1000,
    )

"""A run as a picture: a row a board, a bar an attempt, and a frame around the time for which a job was held.

A job is held while it waits though a type that it may use has room for it: the policy keeps it for another type, or
keeps the room for another job. The frame is on the rows where the job then ran. Plain SVG, without a library.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from kilowait.cluster.advance import advance
from kilowait.cluster.events import GpusJoined, JobPlaced
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Held
from kilowait.core.units import DAY_S, HOUR_S
from kilowait.simulate.run import Placement, Run

Row = tuple[str, str, int]
"""GPU type, node, and the number of a board on it."""

WIDTH, LEFT, TOP, LINE, GAP = 1100, 150, 34, 13, 6
"""Pixels: of the picture, of its margins, of a row and between nodes."""
HUES = (211, 352, 130, 300, 54, 190, 24, 95)
STEPS_S = (60, 300, 900, HOUR_S, 3 * HOUR_S, 6 * HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S)
"""Seconds between the marks of the axis."""
MOST_MARKS = 12
STYLE = (
    "text{font:10px system-ui,sans-serif;fill:#222}.row{fill:#8881}.hold{fill:none;stroke-dasharray:2 2}"
    "line{stroke:#8886}@media(prefers-color-scheme:dark){text{fill:#ddd}}"
)


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
    free_s = {(t, node, board): 0.0 for (t, node), gpus in nodes.items() for board in range(gpus)}
    shared: dict[tuple[str, str, int | None], int] = {}
    since_s, found = holds(run), list[DrawnAttempt]()
    for p in sorted(run.placements, key=lambda p: p.start_s):
        only = next(node for gpu_type, node in nodes if gpu_type == p.gpu_type)
        allocations = where.get((p.job_id, p.attempt)) or (Held(node=only, gpus=p.gpus),)
        rows = tuple(row for one in allocations for row in _boards(p, one, nodes, free_s, shared))
        for row in rows:
            free_s[row] = max(free_s[row], p.end_s)
        found.append(DrawnAttempt(placement=p, rows=rows, held_s=since_s.get((p.job_id, p.attempt))))
    return tuple(free_s), tuple(found)


def _boards(
    p: Placement,
    held: Held,
    nodes: Mapping[tuple[str, str], int],
    free_s: Mapping[Row, float],
    shared: dict[tuple[str, str, int | None], int],
) -> Iterator[Row]:
    """The rows of what an attempt holds on a node; a shared board keeps its row while somebody has a share of it."""
    rows = [(p.gpu_type, held.node, board) for board in range(nodes[p.gpu_type, held.node])]
    if held.board is not None:
        key = (p.gpu_type, held.node, held.board)
        if key in shared and free_s[p.gpu_type, held.node, shared[key]] > p.start_s:
            yield (p.gpu_type, held.node, shared[key])
            return
    free = [row for row in rows if free_s[row] <= p.start_s]
    chosen = (free or rows)[: held.gpus]
    if held.board is not None:
        shared[p.gpu_type, held.node, held.board] = chosen[0][2]
    yield from chosen


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
    end_s = max((bar.placement.end_s for bar in found), default=1.0)
    top, y_of, labels = TOP, dict[Row, int](), list[str]()
    for (gpu_type, node), boards in groupby(rows, key=lambda row: row[:2]):
        labels.append(f'<text x="4" y="{top + 10}">{escape(f"{gpu_type} {node}"[:26])}</text>')
        for row in boards:
            y_of[row], top = top, top + LINE
        top += GAP

    def x(seconds: float) -> float:
        return round(LEFT + (WIDTH - LEFT - 10) * seconds / end_s, 1)

    parts = [
        f'<rect class="row" x="{LEFT}" y="{y}" width="{WIDTH - LEFT - 10}" height="{LINE - 2}"/>' for y in y_of.values()
    ]
    parts += [
        f'<line x1="{x(s)}" x2="{x(s)}" y1="{TOP - 6}" y2="{top}"/><text x="{x(s)}" y="{TOP - 10}">{name}</text>'
        for s, name in _marks(end_s)
    ]
    hue_of: defaultdict[str, int] = defaultdict(lambda: HUES[len(hue_of) % len(HUES)])
    for bar in found:
        p = bar.placement
        hue, text = hue_of[p.job_id], escape(_said(bar))
        for row in bar.rows:
            y = y_of[row]
            if bar.held_s is not None:
                parts.append(_rectangle("hold", x(bar.held_s), y, x(p.start_s), f"stroke:hsl({hue} 60% 45%)", text))
            opacity = 0.35 + 0.55 * p.gpu_milli / 1000
            parts.append(
                _rectangle("run", x(p.start_s), y, x(p.end_s), f"fill:hsl({hue} 55% 55% / {opacity:.2f})", text)
            )
    head = f'<text x="4" y="14">{escape(title)} (modelled; dashed: held though something fitted)</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}">'
        f"<style>{STYLE}</style>{head}{''.join(labels)}{''.join(parts)}</svg>\n"
    )


def _rectangle(name: str, left: float, y: int, right: float, style: str, text: str) -> str:
    width = max(0.5, round(right - left, 1))
    return (
        f'<rect class="{name}" x="{left}" y="{y}" width="{width}" height="{LINE - 2}" style="{style}">'
        f"<title>{text}</title></rect>"
    )


def _said(bar: DrawnAttempt) -> str:
    """What pointing at a bar shows."""
    p = bar.placement
    held = "" if bar.held_s is None else f", held from {bar.held_s:,.0f} s"
    return (
        f"{p.job_id}: submitted {p.submit_s:,.0f} s{held}, ran {p.start_s:,.0f} to {p.end_s:,.0f} s on "
        f"{p.gpus} {p.gpu_type}, {p.energy_kwh:.3g} kWh"
    )


def _marks(end_s: float) -> Sequence[tuple[float, str]]:
    """Where the axis is marked, and with which words."""
    step_s = next((s for s in STEPS_S if end_s / s <= MOST_MARKS), STEPS_S[-1])
    unit, name = next((u, n) for u, n in ((DAY_S, "d"), (HOUR_S, "h"), (60, "min")) if step_s >= u)
    count = min(1000, int(end_s // step_s) + 1)
    return [(k * step_s, f"{k * step_s / unit:g} {name}") for k in range(count)]

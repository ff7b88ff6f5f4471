"""The live cluster over time: what its boards did, do, and are planned to do, and which jobs are or were held.

Ends to come and what is planned are modelled. A job's frame begins when a type that it may use had room for it.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from kilowait.cluster.overrun import estimated_end_s
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Held, Provenance
from kilowait.core.units import DAY_S, HOUR_S, JOULES_PER_KWH
from kilowait.history.tokens import Identity
from kilowait.live.mirror import Mirror
from kilowait.report.board_rows import BoardRows
from kilowait.simulate.outlook import Expected

from ...wire.schemas import Figure
from ...wire.timeline_schemas import BarKind, BoardRow, JobBar, Timeline
from .. import questions
from ..desk import Desk
from ..job_views import name_in
from ..why import duration, held
from .timeline_picture import drawn
from .timeline_windows import window_views

MOST_ENDED, MOST_RUNNING, MOST_PLANNED = 400, 400, 200
"""Bars: the last to end, the last to be placed, the first to start."""

MOST_BOARDS = 256
LATELY = 30
"""Ended attempts that a picture has room for whose beginning nobody said."""

LEAST_S = 60.0
"""The least time that a picture is of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Which part of time is asked for, None where that is left open, and of which GPU type alone, if any."""

    since_s: float | None = None
    until_s: float | None = None
    gpu_type: str | None = None
    width_px: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """A job on boards that are not numbered yet."""

    job_id: str
    attempt: int
    owner: str | None
    labels: str = "{}"
    kind: BarKind
    gpu_type: str
    gpus: int
    where: tuple[Held, ...]
    start_s: float
    end_s: float
    energy_kwh: Figure | None
    held: str | None = None
    held_since_s: float | None = None


async def live_timeline(desk: Desk, who: Identity, asked: Window) -> Timeline:
    """The part of time that somebody asks for; left open, it is what runs, the last that ended and what is planned."""
    mirror, expected, now_s = await desk.mirror(), await desk.expected(), time.time()
    since_s = now_s - DAY_S if asked.since_s is None else asked.since_s
    until_s = now_s if asked.until_s is None else asked.until_s
    rows = await desk.ask(questions.attempts_between, since_s, max(since_s, until_s), MOST_ENDED + 1)
    present = [*(_was_held(one, mirror) for one in _running(mirror.cluster, now_s)), *_planned(mirror, expected, now_s)]
    labels = await desk.ask(questions.labels, [one.job_id for one in present])
    present = [replace(one, labels=labels.get(one.job_id, "{}")) for one in present]
    ended = [_was_held(_ended(row), mirror) for row in rows[:MOST_ENDED]]
    over = {(one.job_id, one.attempt) for one in ended}  # since the cluster was looked at
    present = [one for one in present if (one.job_id, one.attempt) not in over]
    since_s, until_s = _window(asked, now_s, ended, present)
    then = [one for one in (*ended, *present) if one.start_s < until_s and one.end_s > since_s]
    chosen = [one for one in then if asked.gpu_type in (None, one.gpu_type)]
    boards, left_out_boards = _boards(mirror.cluster, chosen, asked.gpu_type)
    addresses = {node.node: node.address for node in (await desk.scheduler.status.remote())["nodes"]}
    bars = _bars(chosen, boards, who)
    counted = len(mirror.cluster.active) + len(mirror.cluster.waiting) + len(mirror.cluster.lines) - len(present)
    answer = Timeline(
        now_s=now_s,
        since_s=since_s,
        until_s=until_s,
        rows=[BoardRow(gpu_type=t, node=n, name=_called(n, addresses), board=k) for t, n, k in boards.rows],
        bars=bars,
        left_out_bars=counted + (len(rows) > MOST_ENDED) + len(chosen) - len(bars),
        left_out_boards=left_out_boards,
        windows=window_views(mirror.cluster, boards.rows, since_s, until_s, now_s),
        svg=None,
    )
    return answer if asked.width_px is None else answer.model_copy(update={"svg": drawn(answer, asked.width_px)})


def _running(cluster: Cluster, now_s: float) -> list[_Stretch]:
    """What runs, the last to be placed first; one beyond its expected end has the next that is expected."""
    latest = sorted(cluster.active.values(), key=lambda active: -active.placed_s)[:MOST_RUNNING]
    return [
        _Stretch(
            job_id=active.job.job_id,
            attempt=active.attempt,
            owner=active.job.user,
            kind="running",
            gpu_type=active.gpu_type,
            gpus=active.gpus,
            where=active.where or _only(cluster, active.gpu_type, active.gpus),
            start_s=active.placed_s,
            end_s=estimated_end_s(active, now_s),
            energy_kwh=_modelled(active.predictions[active.gpu_type].energy_kwh),
        )
        for active in latest
    ]


def _planned(mirror: Mirror, expected: Mapping[str, Expected], now_s: float) -> list[_Stretch]:
    """What is planned, the first to start first; what has been placed since it was planned is left out."""
    waiting = mirror.cluster.waiting
    mirror.holds.look(mirror.cluster, now_s)
    found = []
    for _, job_id in sorted((e.start_s, job_id) for job_id, e in expected.items() if job_id in waiting)[:MOST_PLANNED]:
        entry, e = waiting[job_id], expected[job_id]
        reason = held(mirror.look(entry, count=False)[2], e, now_s)
        found.append(
            _Stretch(
                job_id=job_id,
                attempt=entry.attempt,
                owner=entry.job.user,
                kind="planned",
                gpu_type=e.gpu_type,
                gpus=e.gpus,
                where=e.where or _only(mirror.cluster, e.gpu_type, e.gpus),
                start_s=max(e.start_s, now_s),
                end_s=max(e.end_s, now_s),
                energy_kwh=_modelled(e.energy_kwh),
                held=reason,
                held_since_s=mirror.holds.since_s.get(job_id, now_s) if reason else None,
            )
        )
    return found


def _was_held(one: _Stretch, mirror: Mirror) -> _Stretch:
    """An attempt with its hold, where it had one that is remembered."""
    choice = mirror.choices.get(one.job_id)
    if choice is None or choice.attempt != one.attempt or choice.held_s is None:
        return one
    said = f"held for {duration(one.start_s - choice.held_s)} before, beside room for it"
    return replace(one, held=said, held_since_s=choice.held_s)


def _ended(row: Mapping[str, Any]) -> _Stretch:
    """A row of `questions.attempts_between`."""
    cancelled = row["state"] == "cancelled"
    had = row["energy_j"] is not None
    return _Stretch(
        job_id=row["job_id"],
        attempt=row["attempt"],
        owner=row["owner"],
        labels=row["labels"],
        kind="finished" if row["exit_code"] == 0 else "cancelled" if cancelled else "failed",
        gpu_type=row["gpu_type"],
        gpus=row["gpus"],
        where=msgspec.json.decode(row["places"], type=tuple[Held, ...]),
        start_s=row["placed_s"],
        end_s=row["ended_s"],
        energy_kwh=Figure(value=row["energy_j"] / JOULES_PER_KWH, provenance=row["energy_provenance"]) if had else None,
    )


def _only(cluster: Cluster, gpu_type: str, gpus: int) -> tuple[Held, ...]:
    """The boards of a job where no two nodes of its type were told apart."""
    node = next((node for node, its_type in (*cluster.nodes, *cluster.withdrawn) if its_type == gpu_type), None)
    return () if node is None else (Held(node=node, gpus=gpus),)


def _window(asked: Window, now_s: float, ended: Sequence[_Stretch], present: Sequence[_Stretch]) -> tuple[float, float]:
    """From when to when the picture is; what nobody said is as the jobs have it, a day at most to either side."""
    since_s, until_s = asked.since_s, asked.until_s
    if since_s is None:
        starts = [one.start_s for one in (*ended[:LATELY], *present)]
        since_s = min(max(min(starts, default=now_s - HOUR_S), now_s - DAY_S), now_s - LEAST_S)
    if until_s is None:
        last_s = min(max((one.end_s for one in present), default=now_s), now_s + DAY_S)
        until_s = max(last_s, now_s + 0.1 * (now_s - since_s))
    return since_s, max(until_s, since_s + LEAST_S)


def _boards(cluster: Cluster, chosen: Sequence[_Stretch], gpu_type: str | None) -> tuple[BoardRows, int]:
    """All boards by type and node, those too that are gone but had jobs; and how many there was no room for."""
    here = {(t, node): gpus for (node, t), gpus in cluster.nodes.items()}
    here |= {(t, node): gone.gpus for (node, t), gone in cluster.withdrawn.items()}
    for key, gpus in _most_at_once(chosen).items():
        here.setdefault(key, gpus)
    order = {t: place for place, t in enumerate(cluster.total)}
    shown, room, left_out = dict[tuple[str, str], int](), MOST_BOARDS, 0
    for key in sorted(here, key=lambda key: (order.get(key[0], len(order)), key)):
        if gpu_type not in (None, key[0]):
            continue
        if gpus := min(here[key], room):
            shown[key] = gpus
        room, left_out = room - gpus, left_out + here[key] - gpus
    return BoardRows(shown), left_out


def _most_at_once(chosen: Sequence[_Stretch]) -> Mapping[tuple[str, str], int]:
    """By type and node, the most boards that jobs had together: of a node that has gone nobody knows more."""
    changes = [
        (time_s, sign, one.gpu_type, place)
        for one in chosen
        for place in one.where
        for time_s, sign in ((one.start_s, 1), (one.end_s, -1))
    ]
    now, most = dict[tuple[str, str], int](), dict[tuple[str, str], int]()
    for _, sign, gpu_type, place in sorted(changes, key=lambda change: change[:2]):
        key = gpu_type, place.node
        now[key] = now.get(key, 0) + sign * place.gpus
        most[key] = max(most.get(key, 0), now[key])
    return most


def _bars(chosen: Sequence[_Stretch], boards: BoardRows, who: Identity) -> list[JobBar]:
    """The bars in the order of their starts, each on its rows; those on no row that is shown are left out."""
    number_of, found = {row: number for number, row in enumerate(boards.rows)}, list[JobBar]()
    for one in sorted(chosen, key=lambda one: (one.start_s, one.job_id)):
        rows = boards.give(one.gpu_type, one.where, one.start_s, one.end_s)
        if rows:
            found.append(_bar(one, [number_of[row] for row in rows], who))
    return found


def _bar(one: _Stretch, rows: list[int], who: Identity) -> JobBar:
    visible = who.sees(one.owner)
    return JobBar(
        job_id=one.job_id,
        attempt=one.attempt,
        mine=one.owner == who.owner,
        visible=visible,
        owner=one.owner if visible else None,
        name=name_in(one.labels) if visible else "",
        kind=one.kind,
        gpu_type=one.gpu_type,
        gpus=one.gpus,
        rows=rows,
        start_s=one.start_s,
        end_s=one.end_s,
        provenance=Provenance.MODELLED if one.kind in ("running", "planned") else Provenance.MEASURED,
        energy_kwh=one.energy_kwh,
        held=one.held if visible else None,
        held_since_s=one.held_since_s if visible else None,
    )


def _modelled(energy_kwh: float) -> Figure:
    return Figure(value=energy_kwh, provenance=Provenance.MODELLED)


def _called(node: str, addresses: Mapping[str, str]) -> str:
    """What people call a node: its address, and the beginning of its id, which tells two at one address apart."""
    address = addresses.get(node)
    return f"{node[:6]} (gone)" if address is None else f"{address} {node[:6]}"

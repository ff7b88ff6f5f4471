"""All that the page at / shows, put together in one answer; what is another's is there without a name."""

import time
from collections.abc import Iterable, Mapping
from itertools import islice

from kilowait.cluster.standing import Active, Waiting
from kilowait.history.tokens import Identity
from kilowait.simulate.outlook import Expected

from ..wire.page_schemas import Overview, Queued
from ..wire.schemas import Figure
from . import questions
from .desk import Desk
from .drawing.quota_views import quota_views
from .drawing.users import users_view
from .job_views import cluster_view, expected_view, name_in, progress_view
from .today import Days, accuracy_view, errors_view, factor_view, how_had, today_view

SHOWN = 200
"""Lines of the queue, and of the running jobs, that are sent; the first by expected start."""


async def overview(desk: Desk, days: Days, who: Identity, rows: int = SHOWN) -> Overview:
    """The page's numbers, as the asking user may see them; `rows` bounds its lists of jobs."""
    mirror, expected, day = await desk.mirror(), await desk.expected(), await days.day()
    status, started = await desk.scheduler.status.remote(), await desk.ask(questions.started)
    errors, spread = await desk.errors(), errors_view(day.rows)
    powers, now_s = await desk.powers(), time.time()
    waiting = [*mirror.cluster.queue(), *mirror.cluster.stranded.values()]
    owner = who.whose()
    median = None if spread is None else Figure(value=spread["0.5"], provenance=how_had(day.rows))
    first = [*_by_start(waiting, expected)[:rows], *islice(mirror.cluster.lines, rows)][:rows]
    queue = [_queued(w, expected.get(w.job.job_id), who) for w in first]
    running = [
        _running(active, started.get(active.job.job_id), now_s, who, powers.get(active.job.job_id))
        for active in _latest(mirror.cluster.active.values())[:rows]
    ]
    labels = await desk.ask(questions.labels, [line.job_id for line in (*queue, *running) if line.visible])
    return Overview(
        cluster=cluster_view(mirror, status["settings"], status, now_s, who),
        queue=[_named(line, labels) for line in queue],
        queue_length=len(waiting) + len(mirror.cluster.lines),
        running=[_named(line, labels) for line in running],
        today=today_view(day),
        accuracy=accuracy_view(day.rows, owner),
        median_error=median,
        median_factor=factor_view(day.rows),
        interval_basis=errors.basis,
        you=who.owner,
        role=who.role.name.lower(),
        users=users_view(mirror.cluster, day.rows, who),
        quotas=quota_views(mirror.cluster, who, now_s),
    )


def _by_start(waiting: Iterable[Waiting], expected: Mapping[str, Expected]) -> list[Waiting]:
    no_start_s = float("inf")

    def start(entry: Waiting) -> tuple[float, tuple[float, str]]:
        expectation = expected.get(entry.job.job_id)
        return (no_start_s if expectation is None else expectation.start_s), entry.place

    return sorted(waiting, key=start)


def _latest(active: Iterable[Active]) -> list[Active]:
    return sorted(active, key=lambda job: -job.placed_s)[:SHOWN]


def _queued(waiting: Waiting, expected: Expected | None, who: Identity) -> Queued:
    job = waiting.job
    return _line(job.job_id, job.user, job.gpus, job.submit_s, who).model_copy(
        update={"expected": expected_view(expected)}
    )


def _running(active: Active, started_s: float | None, now_s: float, who: Identity, power: Figure | None) -> Queued:
    job = active.job
    progress = progress_view(active, started_s, now_s, power)
    return _line(job.job_id, job.user, active.gpus, job.submit_s, who).model_copy(
        update={"gpu_type": active.gpu_type, "progress": progress}
    )


def _named(line: Queued, labels: Mapping[str, str]) -> Queued:
    return line.model_copy(update={"name": name_in(labels.get(line.job_id, "{}"))})


def _line(job_id: str, user: str | None, gpus: int, submitted_s: float, who: Identity) -> Queued:
    visible = who.sees(user)
    return Queued(
        job_id=job_id,
        mine=user == who.owner,
        visible=visible,
        owner=user if visible else None,
        gpus=gpus,
        submitted_s=submitted_s,
        expected=None,
        gpu_type=None,
        progress=None,
    )

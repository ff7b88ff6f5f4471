"""Questions about a history that need several of its tables: the log by number, and attempts beside what was predicted.

Column names of what is exported are in `kilowait.files.columns.HISTORY`.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import inf
from typing import Any, NamedTuple, TypeVar

import msgspec
from sqlalchemy import func, select

from kilowait.cluster.events import Event, JobPredicted, JobSubmitted
from kilowait.core.errors import StoreError
from kilowait.core.jobs import Prediction, time_provenance
from kilowait.core.units import DAY_S, JOULES_PER_KWH
from kilowait.history.job_filter import JobFilter, page_of
from kilowait.history.schema import ATTEMPTS, EVENTS, JOBS, LATE_PREDICTIONS, MEASUREMENTS
from kilowait.history.spent.attempt_amounts import amount_columns, amounts_of
from kilowait.history.statements import chunks
from kilowait.history.store import Store

_DECODERS = {kind.__name__: msgspec.json.Decoder(kind) for kind in Event.__args__}

RawEvent = tuple[int, str, str]
"""Number, kind and text of an event, as it is stored."""


def ids_after(store: Store, chosen: JobFilter, after: str, limit: int) -> list[str]:
    """Ids of such jobs from behind `after` on, in order: nothing of their programs, which are long, is read."""
    query = page_of(chosen.of(select(JOBS.c.job_id)), JOBS.c.job_id, after=after, limit=limit)
    return [row.job_id for row in store.rows(query)]


def events_after(store: Store, seq: int, limit: int) -> list[RawEvent]:
    """At most `limit` events behind number `seq`, in order; `decoded` reads them."""
    query = select(EVENTS.c.seq, EVENTS.c.kind, EVENTS.c.payload).where(EVENTS.c.seq > seq)
    return [(row.seq, row.kind, row.payload) for row in store.rows(query.order_by(EVENTS.c.seq).limit(limit))]


def decoded(raw: RawEvent) -> Event:
    """The event; raises StoreError for one that cannot be read."""
    seq, kind, payload = raw
    try:
        event: Event = _DECODERS[kind].decode(payload)
    except (KeyError, msgspec.DecodeError) as error:
        raise StoreError(f"event {seq} ({kind}) cannot be read: {error}; use the release that wrote it") from error
    return event


def submissions(store: Store, job_ids: Iterable[str]) -> dict[str, JobSubmitted]:
    """By job id, how each job was submitted, by the predictions that it was, or would be, placed by.

    A job's id holds the number of the event. `predictions_of` tells which took the place of a guess.
    """
    return {job_id: in_force.submitted for job_id, in_force in predictions_of(store, job_ids).items()}


class JobPredictions(NamedTuple):
    """How a job was submitted with the predictions in force, as it was submitted, and what came later of which one,
    `used`, may have taken the place of the guess."""

    submitted: JobSubmitted
    original: JobSubmitted
    later: Sequence[JobPredicted]
    used: JobPredicted | None


def predictions_of(store: Store, job_ids: Iterable[str]) -> dict[str, JobPredictions]:
    """By job id, which predictions held when: see `kilowait.cluster.late_prediction`."""
    originals = {event.job.job_id: event for event in _events(store, map(_number, job_ids), JobSubmitted).values()}
    late = _late(store, list(originals))
    placed = _first_placed(store, list(late))
    found = {}
    for job_id, original in originals.items():
        later = late.get(job_id, {})
        in_time = [event for seq, event in later.items() if event.problem is None and seq < placed.get(job_id, inf)]
        used = in_time[-1] if in_time else None
        submitted = (
            original
            if used is None
            else msgspec.structs.replace(original, predictions=used.predictions, dry_run=used.dry_run)
        )
        found[job_id] = JobPredictions(submitted, original, tuple(later.values()), used)
    return found


def _number(job_id: str) -> int:
    return int(job_id.rpartition("-")[2])


def _late(store: Store, job_ids: Sequence[str]) -> dict[str, dict[int, JobPredicted]]:
    """By job id, the predictions that came later, in order, by the numbers of their events."""
    store.ensure(LATE_PREDICTIONS)
    numbers: list[int] = []
    for chunk in chunks(job_ids):
        query = select(LATE_PREDICTIONS.c.seq).where(LATE_PREDICTIONS.c.job_id.in_(chunk))
        numbers += [row.seq for row in store.rows(query)]
    late: dict[str, dict[int, JobPredicted]] = {}
    for seq, event in sorted(_events(store, numbers, JobPredicted).items()):
        late.setdefault(event.job_id, {})[seq] = event
    return late


def _first_placed(store: Store, job_ids: Sequence[str]) -> dict[str, int]:
    """By job id, the number of the event that placed its first attempt."""
    placed: dict[str, int] = {}
    for chunk in chunks(job_ids):
        query = select(ATTEMPTS.c.job_id, ATTEMPTS.c.token).where(ATTEMPTS.c.job_id.in_(chunk), ATTEMPTS.c.attempt == 1)
        placed |= {row.job_id: row.token for row in store.rows(query)}
    return placed


E = TypeVar("E", JobSubmitted, JobPredicted)


def _events(store: Store, numbers: Iterable[int], kind: type[E]) -> dict[int, E]:
    """The events of these numbers, which are all of one kind."""
    events: dict[int, E] = {}
    for chunk in chunks(list(numbers)):
        query = select(EVENTS.c.seq, EVENTS.c.kind, EVENTS.c.payload).where(EVENTS.c.seq.in_(chunk))
        for row in store.rows(query):
            event = decoded((row.seq, row.kind, row.payload))
            assert isinstance(event, kind)
            events[row.seq] = event
    return events


def history(
    store: Store,
    *,
    owner: str | None = None,
    after: tuple[str, int] = ("", 0),
    ended_from_s: float | None = None,
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """Rows of `columns.HISTORY`: attempts that have ended, by job id and attempt, from behind `after` on."""
    measured_columns = [column for column in MEASUREMENTS.c if column.name not in ATTEMPTS.c]
    same_attempt = (MEASUREMENTS.c.job_id == ATTEMPTS.c.job_id) & (MEASUREMENTS.c.attempt == ATTEMPTS.c.attempt)
    joined = ATTEMPTS.join(JOBS, JOBS.c.job_id == ATTEMPTS.c.job_id).outerjoin(MEASUREMENTS, same_attempt)
    columns = [*ATTEMPTS.c, *measured_columns, JOBS.c.owner, JOBS.c.state, JOBS.c.submitted_s, JOBS.c.labels]
    later = (ATTEMPTS.c.job_id > after[0]) | ((ATTEMPTS.c.job_id == after[0]) & (ATTEMPTS.c.attempt > after[1]))
    query = select(*columns).select_from(joined).where(ATTEMPTS.c.ended_s.is_not(None), later)
    query = query if owner is None else query.where(JOBS.c.owner == owner)
    query = query if ended_from_s is None else query.where(ATTEMPTS.c.ended_s >= ended_from_s)
    rows = [
        dict(row._mapping) for row in store.rows(query.order_by(ATTEMPTS.c.job_id, ATTEMPTS.c.attempt).limit(limit))
    ]
    ids = {row["job_id"] for row in rows}
    events, amounts = submissions(store, ids), amounts_of(store, ids)
    return [
        _with_prediction(row, events[row["job_id"]]) | amount_columns(amounts.get((row["job_id"], row["attempt"]), {}))
        for row in rows
    ]


def attempts_between(store: Store, since_s: float, until_s: float, limit: int) -> list[dict[str, Any]]:
    """Attempts that have ended and were under way between two times, the last to end first: whose they are, their jobs'
    states and labels, and joules (None where nothing was measured).

    One that ended more than 30 days behind `until_s` is left out, so that a look far back reads no whole history.
    """
    same_attempt = (MEASUREMENTS.c.job_id == ATTEMPTS.c.job_id) & (MEASUREMENTS.c.attempt == ATTEMPTS.c.attempt)
    joined = ATTEMPTS.join(JOBS, JOBS.c.job_id == ATTEMPTS.c.job_id).outerjoin(MEASUREMENTS, same_attempt)
    measured = MEASUREMENTS.c.energy_j, MEASUREMENTS.c.energy_provenance
    query = select(*ATTEMPTS.c, *measured, JOBS.c.owner, JOBS.c.state, JOBS.c.labels).select_from(joined)
    ended_s = ATTEMPTS.c.ended_s
    query = query.where(ended_s >= since_s, ended_s <= until_s + 30 * DAY_S, ATTEMPTS.c.placed_s <= until_s)
    return [dict(row._mapping) for row in store.rows(query.order_by(ended_s.desc(), ATTEMPTS.c.token).limit(limit))]


def labels_of(store: Store, job_ids: Iterable[str]) -> dict[str, str]:
    """By job id, the labels of jobs as they are stored."""
    found: dict[str, str] = {}
    for chunk in chunks(list(job_ids)):
        query = select(JOBS.c.job_id, JOBS.c.labels).where(JOBS.c.job_id.in_(chunk))
        found |= {row.job_id: row.labels for row in store.rows(query)}
    return found


def _with_prediction(row: Mapping[str, Any], event: JobSubmitted) -> dict[str, Any]:
    """What was measured beside what was predicted on the type where it ran."""
    prediction: Prediction = event.predictions[row["gpu_type"]]
    return {
        **row,
        "priority": event.job.priority,
        "predicted_runtime_s": prediction.runtime_s,
        "predicted_energy_j": prediction.energy_kwh * JOULES_PER_KWH,
        "predicted_provenance": time_provenance(prediction).value,
        "probe_version": prediction.probe_version,
        "features": prediction.features,
    }


def energy_totals(store: Store) -> list[tuple[str, str, float, int]]:
    """(GPU type, provenance, joules, attempts) of all that was ever had."""
    columns = MEASUREMENTS.c.gpu_type, MEASUREMENTS.c.energy_provenance
    query = select(*columns, func.sum(MEASUREMENTS.c.energy_j).label("energy_j"), func.count().label("attempts"))
    rows = store.rows(query.group_by(*columns).order_by(*columns))
    return [(row.gpu_type, row.energy_provenance, row.energy_j, row.attempts) for row in rows]

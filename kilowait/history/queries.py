"""Questions about a history that need several of its tables: the log by number, and attempts beside what was predicted.

Column names of what is exported are in `kilowait.files.columns.HISTORY`.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from sqlalchemy import func, select

from kilowait.cluster.events import Event, JobSubmitted
from kilowait.core.errors import StoreError
from kilowait.core.jobs import Prediction, Provenance
from kilowait.core.units import JOULES_PER_KWH
from kilowait.history.schema import ATTEMPTS, EVENTS, JOBS, MEASUREMENTS
from kilowait.history.store import Store

_DECODERS = {kind.__name__: msgspec.json.Decoder(kind) for kind in Event.__args__}

RawEvent = tuple[int, str, str]
"""Number, kind and text of an event, as it is stored."""


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
    """By job id, how each job was submitted, predictions included; a job's id holds the number of that event."""
    numbers = [int(job_id.rpartition("-")[2]) for job_id in job_ids]
    events: dict[str, JobSubmitted] = {}
    for start in range(0, len(numbers), 500):
        chunk = numbers[start : start + 500]
        query = select(EVENTS.c.seq, EVENTS.c.kind, EVENTS.c.payload).where(EVENTS.c.seq.in_(chunk))
        for row in store.rows(query):
            event = decoded((row.seq, row.kind, row.payload))
            assert isinstance(event, JobSubmitted)
            events[event.job.job_id] = event
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
    events = submissions(store, {row["job_id"] for row in rows})
    return [_with_prediction(row, events[row["job_id"]]) for row in rows]


def _with_prediction(row: Mapping[str, Any], event: JobSubmitted) -> dict[str, Any]:
    """What was measured beside what was predicted on the type where it ran."""
    prediction: Prediction = event.predictions[row["gpu_type"]]
    return {
        **row,
        "priority": event.job.priority,
        "predicted_runtime_s": prediction.runtime_s,
        "predicted_energy_j": prediction.energy_kwh * JOULES_PER_KWH,
        "predicted_provenance": Provenance.MODELLED.value,
        "probe_version": prediction.probe_version,
        "features": prediction.features,
    }


def energy_totals(store: Store) -> list[tuple[str, str, float, int]]:
    """(GPU type, provenance, joules, attempts) of all that was ever had."""
    columns = MEASUREMENTS.c.gpu_type, MEASUREMENTS.c.energy_provenance
    query = select(*columns, func.sum(MEASUREMENTS.c.energy_j).label("energy_j"), func.count().label("attempts"))
    rows = store.rows(query.group_by(*columns).order_by(*columns))
    return [(row.gpu_type, row.energy_provenance, row.energy_j, row.attempts) for row in rows]

"""What one transaction writes: events, and the rows of the other tables that follow from them."""

from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, insert, select, update

from kilowait.boards import Held
from kilowait.events import (
    AttemptFailed,
    AttemptFinished,
    Event,
    JobCancelled,
    JobFailed,
    JobPlaced,
    JobPreempted,
    JobSubmitted,
)
from kilowait.store.schema import ATTEMPTS, EVENTS, JOBS, LOGS, MEASUREMENTS
from kilowait.submission import Ending, Request

_encode = msgspec.json.Encoder(order="sorted").encode


class Writing:
    """One transaction. Made by `Store.writing`; an exception in its block takes all of it back."""

    def __init__(self, connection: Connection, last_seq: int) -> None:
        self._connection, self.last_seq = connection, last_seq

    def append(self, event: Event) -> int:
        """Add an event to the log and bring the other tables up to it; returns its number."""
        self.last_seq += 1
        values = {"seq": self.last_seq, "time_s": event.time_s, "kind": type(event).__name__}
        self._do(insert(EVENTS), {**values, "payload": _text(event)})
        self._project(event)
        return self.last_seq

    def known(self, owner: str | None, client_key: str) -> tuple[str, str] | None:
        """(job id, hash of the request) of what this owner asked for by this key before."""
        query = select(JOBS.c.job_id, JOBS.c.request_hash)
        query = query.where(JOBS.c.owner == (owner or ""), JOBS.c.client_key == client_key)
        row = self._connection.execute(query).first()
        return None if row is None else (row.job_id, row.request_hash)

    def add_job(self, event: JobSubmitted, request: Request, request_hash: str) -> None:
        """What was asked for, beside the event that says so."""
        self._do(
            insert(JOBS),
            {
                "job_id": event.job.job_id,
                "owner": event.job.user or "",
                "client_key": request.client_key,
                "request_hash": request_hash,
                "program": _text(request.program),
                "asked": _text(event.job),
                "labels": _text(request.labels),
                "retry": _text(request.retry),
                "state": "waiting",
                "submitted_s": event.time_s,
            },
        )

    def add_attempt(self, event: JobPlaced, where: Sequence[Held]) -> None:
        """Where the attempt is that the last event placed; that event's number is its token."""
        row = {
            "job_id": event.job_id,
            "attempt": event.attempt,
            "token": self.last_seq,
            "gpu_type": event.gpu_type,
            "gpus": event.gpus,
            "places": _text(where),
            "placed_s": event.time_s,
        }
        self._do(insert(ATTEMPTS), row)

    def start(self, job_id: str, attempt: int, time_s: float) -> None:
        """From now on the attempt's program may run."""
        self._do(update(ATTEMPTS).where(*_of(ATTEMPTS, job_id, attempt)).values(started_s=time_s))

    def ask_to_cancel(self, job_id: str, time_s: float) -> None:
        """The end of a running job was asked for."""
        self._do(update(JOBS).where(JOBS.c.job_id == job_id).values(cancel_s=time_s))

    def add_ending(self, job_id: str, attempt: int, ending: Ending) -> None:
        """How an attempt ended and what was measured, beside the event that says so."""
        seen = {
            "exit_code": ending.exit_code,
            "reason": ending.reason,
            "peak_memory_bytes": ending.peak_memory_bytes,
            "gpu_memory_bytes": ending.gpu_memory_bytes,
        }
        self._do(update(ATTEMPTS).where(*_of(ATTEMPTS, job_id, attempt)).values(seen))
        for log in ending.logs:
            row = {"rank": log.rank, "first_byte": log.first_byte, "data": log.data}
            self._do(insert(LOGS), {"job_id": job_id, "attempt": attempt, **row})
        if (measured := ending.measurement) is None:
            return
        self._do(
            insert(MEASUREMENTS),
            {
                "job_id": job_id,
                "attempt": attempt,
                "gpu_type": measured.gpu_type,
                "runtime_s": measured.runtime_s,
                "runtime_provenance": measured.runtime_provenance.value,
                "energy_j": measured.energy_j,
                "energy_provenance": measured.energy_provenance.value,
                "meter": ending.meter,
                "gpu_ids": _text(ending.gpu_ids),
            },
        )

    def _project(self, event: Event) -> None:
        match event:
            case JobPlaced():
                self._state(event.job_id, "running")
            case AttemptFinished():
                self._end(event)
                self._state(event.job_id, "finished", ended_s=event.time_s)
            case AttemptFailed():
                self._end(event, reason=event.reason)
                self._state(event.job_id, "waiting", reason=event.reason)
            case JobPreempted():
                self._end(event, reason="preempted")
                self._state(event.job_id, "waiting")
            case JobFailed():
                self._state(event.job_id, "failed", ended_s=event.time_s, reason=event.reason)
            case JobCancelled():
                running = ATTEMPTS.c.job_id == event.job_id, ATTEMPTS.c.ended_s.is_(None)
                self._do(update(ATTEMPTS).where(*running).values(ended_s=event.time_s, reason="cancelled"))
                self._state(event.job_id, "cancelled", ended_s=event.time_s)
            case _:  # nodes have no table; `add_job` and `add_attempt` make the rows of jobs and attempts
                return

    def _end(self, event: AttemptFinished | AttemptFailed | JobPreempted, **more: Any) -> None:
        row = update(ATTEMPTS).where(*_of(ATTEMPTS, event.job_id, event.attempt))
        self._do(row.values(ended_s=event.time_s, **more))

    def _state(self, job_id: str, state: str, **more: Any) -> None:
        self._do(update(JOBS).where(JOBS.c.job_id == job_id).values(state=state, **more))

    def _do(self, statement: Any, row: dict[str, Any] | None = None) -> None:
        self._connection.execute(statement, row)


def _of(table: Any, job_id: str, attempt: int) -> tuple[Any, Any]:
    return table.c.job_id == job_id, table.c.attempt == attempt


def _text(value: object) -> str:
    return _encode(value).decode()

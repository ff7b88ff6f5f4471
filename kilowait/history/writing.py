"""What one transaction writes: events, and the rows of the other tables that follow from them.

New rows are gathered and added in the end, all of a table in one statement, and then what changes in rows that are
there: nobody sees a transaction before its end.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import msgspec
from sqlalchemy import Connection, Row, Select, Table, bindparam, select

from kilowait.cluster.events import (
    AttemptFailed,
    AttemptFinished,
    Event,
    JobCancelled,
    JobFailed,
    JobPlaced,
    JobPredicted,
    JobPreempted,
    JobSubmitted,
    SignalReported,
)
from kilowait.core.checkpoints.checkpointing import PREEMPTED
from kilowait.core.jobs import Held
from kilowait.core.over_time.amounts import Amount
from kilowait.core.submission import Ending, Request
from kilowait.core.tasks.array_request import ArrayRequest
from kilowait.core.tasks.task_numbers import shortened
from kilowait.history.schema import (
    ARRAY_TASKS,
    ARRAYS,
    ATTEMPT_AMOUNTS,
    ATTEMPTS,
    EVENTS,
    JOB_LABELS,
    JOBS,
    LATE_PREDICTIONS,
    LOGS,
    MEASUREMENTS,
    SIGNAL_REPORTS,
)
from kilowait.history.statements import Change, Statements, Values, shape

_encode = msgspec.json.Encoder(order="sorted").encode


_KNOWN = select(JOBS.c.job_id, JOBS.c.request_hash)
_KNOWN = _KNOWN.where(JOBS.c.owner == bindparam("owner"), JOBS.c.client_key == bindparam("client_key"))


class Writing:
    """One transaction. Made by `Store.writing`; an exception in its block takes all of it back."""

    def __init__(self, connection: Connection, statements: Statements, last_seq: int) -> None:
        self._connection, self._statements, self.last_seq = connection, statements, last_seq
        self._new: dict[Table, list[Values]] = {}
        self._changes: list[tuple[Table, Change]] = []
        self._keys: dict[tuple[str, str], tuple[str, str]] = {}

    def flush(self) -> None:
        """Send what was gathered."""
        for table, rows in self._new.items():
            self._statements.insert(self._connection, table, rows)
        for (table, _), changes in groupby(self._changes, lambda entry: (entry[0], shape(entry[1]))):
            self._statements.update(self._connection, table, [change for _, change in changes])

    def append(self, event: Event) -> int:
        """Add an event to the log and bring the other tables up to it; returns its number."""
        self.last_seq += 1
        values = {"seq": self.last_seq, "time_s": event.time_s, "kind": type(event).__name__}
        self._add(EVENTS, {**values, "payload": _text(event)})
        self._project(event)
        return self.last_seq

    def known(self, owner: str | None, client_key: str) -> tuple[str, str] | None:
        """(job id, hash of the request) of what this owner asked for by this key before."""
        if (pending := self._keys.get((owner or "", client_key))) is not None:
            return pending
        values = {"owner": owner or "", "client_key": client_key}
        rows = self._statements.select(self._connection, "known", _KNOWN, values)
        return (rows[0].job_id, rows[0].request_hash) if rows else None

    def rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """What a query finds, without what was gathered here and not sent yet."""
        return self._connection.execute(query).all()

    def add_job(self, event: JobSubmitted, request: Request, request_hash: str) -> None:
        """What was asked for, beside the event that says so."""
        if request.client_key is not None:
            self._keys[event.job.user or "", request.client_key] = event.job.job_id, request_hash
        self._add(
            JOBS,
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
        for name, text in request.labels.items():
            self._add(JOB_LABELS, {"name": name, "text": text, "job_id": event.job.job_id})

    def add_array(self, array_id: str, asked: ArrayRequest, request_hash: str, time_s: float) -> None:
        """How a job array was asked for, with the texts of its program, which its tasks do without."""
        request, program = asked.request, asked.request.program
        self._add(
            ARRAYS,
            {
                "array_id": array_id,
                "owner": request.job.user or "",
                "client_key": request.client_key,
                "request_hash": request_hash,
                "program": _text(msgspec.structs.replace(program, files={})),
                "files": _text(program.files),
                "labels": _text(request.labels),
                "tasks": shortened(sorted(task.task for task in asked.tasks)),
                "at_once": asked.at_once,
                "submitted_s": time_s,
            },
        )

    def add_task(self, event: JobSubmitted, request: Request, request_hash: str) -> None:
        """What was asked for of a task, beside the event that says so."""
        task = event.job.array
        assert task is not None
        self._add(ARRAY_TASKS, {"job_id": event.job.job_id, "array_id": task.array_id, "task": task.task})
        self.add_job(event, request, request_hash)

    def add_report(self, event: SignalReported) -> None:
        """Which signal the last event is of."""
        self._add(SIGNAL_REPORTS, {"seq": self.last_seq, "name": event.signal.name, "time_s": event.time_s})

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
        self._add(ATTEMPTS, row)

    def start(self, job_id: str, attempt: int, time_s: float) -> None:
        """From now on the attempt's program may run."""
        self._change(ATTEMPTS, {"job_id": job_id, "attempt": attempt}, started_s=time_s)

    def ask_to_cancel(self, job_id: str, time_s: float) -> None:
        """The end of a running job was asked for."""
        self._change(JOBS, {"job_id": job_id}, cancel_s=time_s)

    def add_ending(self, job_id: str, attempt: int, ending: Ending, amounts: Sequence[Amount] = ()) -> None:
        """How an attempt ended, what was measured, and what that came to, beside the event that says so."""
        self._change(
            ATTEMPTS,
            {"job_id": job_id, "attempt": attempt},
            exit_code=ending.exit_code,
            reason=ending.reason,
            peak_memory_bytes=ending.peak_memory_bytes,
            gpu_memory_bytes=ending.gpu_memory_bytes,
        )
        for log in ending.logs:
            row = {"rank": log.rank, "first_byte": log.first_byte, "data": log.data}
            self._add(LOGS, {"job_id": job_id, "attempt": attempt, **row})
        for one in amounts:
            amount = {"name": one.name, "value": one.value, "provenance": one.provenance.value}
            self._add(ATTEMPT_AMOUNTS, {"job_id": job_id, "attempt": attempt, **amount})
        if (measurement := ending.measurement) is None:
            return
        self._add(
            MEASUREMENTS,
            {
                "job_id": job_id,
                "attempt": attempt,
                "gpu_type": measurement.gpu_type,
                "runtime_s": measurement.runtime_s,
                "runtime_provenance": measurement.runtime_provenance.value,
                "energy_j": measurement.energy_j,
                "energy_provenance": measurement.energy_provenance.value,
                "meter": ending.meter,
                "gpu_ids": _text(ending.gpu_ids),
            },
        )

    def _project(self, event: Event) -> None:
        match event:
            case JobPredicted():
                self._add(LATE_PREDICTIONS, {"job_id": event.job_id, "seq": self.last_seq})
            case JobPlaced():
                self._state(event.job_id, "running", reason=None)
            case AttemptFinished():
                self._end(event)
                self._state(event.job_id, "finished", ended_s=event.time_s, reason=None)
            case AttemptFailed():
                self._end(event, reason=event.reason)
                self._state(event.job_id, "waiting", reason=event.reason)
            case JobPreempted():
                self._end(event, reason=PREEMPTED)
                self._state(event.job_id, "waiting")
            case JobFailed():
                self._state(event.job_id, "failed", ended_s=event.time_s, reason=event.reason)
            case JobCancelled():
                running = {"job_id": event.job_id, "ended_s": None}
                self._change(ATTEMPTS, running, ended_s=event.time_s, reason="cancelled")
                self._state(event.job_id, "cancelled", ended_s=event.time_s, reason=None)
            case _:  # nodes have no table; `add_job` and `add_attempt` make the rows of jobs and attempts
                return

    def _end(self, event: AttemptFinished | AttemptFailed | JobPreempted, **more: Any) -> None:
        where = {"job_id": event.job_id, "attempt": event.attempt}
        self._change(ATTEMPTS, where, ended_s=event.time_s, **more)

    def _state(self, job_id: str, state: str, **more: Any) -> None:
        self._change(JOBS, {"job_id": job_id}, state=state, **more)

    def _add(self, table: Table, row: Values) -> None:
        self._new.setdefault(table, []).append(row)

    def _change(self, table: Table, where: Values, **values: Any) -> None:
        self._changes.append((table, (where, values)))


def _text(value: object) -> str:
    return _encode(value).decode()

"""What the HTTP service asks the history itself, beside the scheduler that writes it: functions of an open store."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from kilowait.cluster.events import JobSubmitted
from kilowait.core.submission import Program
from kilowait.history import queries, tokens
from kilowait.history.job_arrays import array_rows, make_tables
from kilowait.history.job_filter import JobFilter
from kilowait.history.queries import RawEvent, energy_totals, events_after, history, predictions_of, submissions
from kilowait.history.secrecy.sealed_programs import environment_of
from kilowait.history.spent.attempt_amounts import amounts_of
from kilowait.history.statements import chunks
from kilowait.history.store import Store

Row = Mapping[str, Any]
IDS_PAGE = 1000


def events(store: Store, seq: int, limit: int) -> list[RawEvent]:
    """The log behind event number `seq`."""
    return events_after(store, seq, limit)


def jobs(store: Store, chosen: JobFilter, after: str, limit: int, newest: bool = False) -> list[Row]:
    """Rows of jobs with their attempts and how they were submitted, by id from behind `after` on."""
    if chosen.of_arrays:
        make_tables(store)
    return _whole(store, store.jobs(chosen, after=after, limit=limit, newest=newest))


def job_ids(store: Store, chosen: JobFilter) -> list[str]:
    """The ids of all these jobs, in order."""
    if chosen.of_arrays:
        make_tables(store)
    found = queries.ids_after(store, chosen, "", IDS_PAGE)
    while found and not len(found) % IDS_PAGE:
        page = queries.ids_after(store, chosen, found[-1], IDS_PAGE)
        found += page
        if not page:
            break
    return found


def arrays(store: Store, chosen: JobFilter, after: str, limit: int, newest: bool = False) -> list[dict[str, Any]]:
    """Rows of job arrays that have such tasks, by id from behind `after` on."""
    return array_rows(store, chosen, after=after, limit=limit, newest=newest)


def program(store: Store, job_id: str, key_file: str, owner: str) -> Program:
    """What a job runs, with its variables but without its secrets; raises InputError as `environment_of`."""
    found = store.program(job_id)
    return msgspec.structs.replace(found, environment=environment_of(found, key_file, owner))


def job(store: Store, job_id: str) -> Row | None:
    """One of `jobs`, None where it is unknown."""
    row = store.job(job_id)
    return None if row is None else _whole(store, [row])[0]


def job_of_key(store: Store, owner: str, key: str) -> Row | None:
    """The job that an owner asked for by this key before, if any."""
    row = store.job_of_key(owner, key)
    return None if row is None else _whole(store, [row])[0]


def _whole(store: Store, rows: Sequence[Row]) -> list[Row]:
    job_ids = [row["job_id"] for row in rows]
    found, attempts, amounts = predictions_of(store, job_ids), dict[str, list[Row]](), amounts_of(store, job_ids)
    for chunk in chunks(job_ids):
        for attempt in store.attempts_of(chunk):
            of_attempt = amounts.get((attempt["job_id"], attempt["attempt"]), {})
            attempts.setdefault(attempt["job_id"], []).append({**attempt, "amounts": of_attempt})
    return [
        {
            **row,
            "attempts": attempts.get(row["job_id"], []),
            "submitted": found[row["job_id"]].submitted,
            "predictions": found[row["job_id"]],
        }
        for row in rows
    ]


def ended(
    store: Store, owner: str | None, after: tuple[str, int], from_s: float | None, limit: int
) -> list[dict[str, Any]]:
    """Rows of `columns.HISTORY`, a page."""
    return history(store, owner=owner, after=after, ended_from_s=from_s, limit=limit)


def attempts_between(store: Store, since_s: float, until_s: float, limit: int) -> list[dict[str, Any]]:
    """Attempts that have ended and were under way between two times, the last to end first."""
    return queries.attempts_between(store, since_s, until_s, limit)


def labels(store: Store, job_ids: Sequence[str]) -> dict[str, str]:
    """By job id, the labels of jobs as they are stored."""
    return queries.labels_of(store, job_ids)


def asked(store: Store, job_ids: Sequence[str]) -> dict[str, JobSubmitted]:
    """How these jobs were submitted."""
    return submissions(store, job_ids)


def identify(store: Store, token: str) -> tokens.Identity | None:
    """Whose token this is."""
    return tokens.identify(store, token)


def make_token(store: Store, owner: str, role: str, lasts_s: float | None = None, scopes: Sequence[str] = ()) -> str:
    """A new token."""
    now_s = time.time()
    expires_s = None if lasts_s is None else now_s + max(lasts_s, 1e-3)
    return tokens.create(store, owner, tokens.Role.named(role), now_s, expires_s=expires_s, scopes=scopes)


def list_tokens(store: Store) -> Sequence[Row]:
    """Every token, without secrets."""
    return tokens.listed(store)


def revoke_token(store: Store, token_id: str, force: bool) -> None:
    """Refuse a token from now on; the last operator's only with `force`."""
    tokens.revoke(store, token_id, time.time(), force=force)


def energy(store: Store) -> list[tuple[str, str, float, int]]:
    """(GPU type, provenance, joules, attempts) of all attempts that have ended."""
    return energy_totals(store)


def started(store: Store) -> dict[str, float]:
    """By job id, when the program of each running attempt was allowed to start."""
    return store.started_s()

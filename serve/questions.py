"""What the HTTP service asks the controller: each is a function that runs inside the actor, and is quick."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from kilowait.events import JobSubmitted
from kilowait.live import Controller
from kilowait.store import tokens
from kilowait.store.reading import RawEvent, energy_totals, events_after, history, submissions

Row = Mapping[str, Any]


def events(controller: Controller, seq: int, limit: int) -> list[RawEvent]:
    """The log behind event number `seq`."""
    return events_after(controller.store, seq, limit)


def jobs(controller: Controller, owner: str | None, state: str | None, after: str, limit: int) -> list[Row]:
    """Rows of jobs with their attempts and how they were submitted, by id from behind `after` on."""
    found = controller.store.jobs(owner=owner, state=state, after=after, limit=limit)
    return _whole(controller, found)


def job(controller: Controller, job_id: str) -> Row | None:
    """One of `jobs`, None where it is unknown."""
    found = controller.store.job(job_id)
    return None if found is None else _whole(controller, [found])[0]


def job_of_key(controller: Controller, owner: str, key: str) -> Row | None:
    """The job that an owner asked for by this key before, if any."""
    found = controller.store.job_of_key(owner, key)
    return None if found is None else _whole(controller, [found])[0]


def _whole(controller: Controller, rows: Sequence[Row]) -> list[Row]:
    asked = submissions(controller.store, [row["job_id"] for row in rows])
    return [
        {**row, "attempts": controller.store.attempts(row["job_id"]), "submitted": asked[row["job_id"]]} for row in rows
    ]


def ended(
    controller: Controller, owner: str | None, after: tuple[str, int], from_s: float | None, limit: int
) -> list[dict[str, Any]]:
    """Rows of `records.HISTORY`, a page."""
    return history(controller.store, owner=owner, after=after, ended_from_s=from_s, limit=limit)


def asked(controller: Controller, job_ids: Sequence[str]) -> dict[str, JobSubmitted]:
    """How these jobs were submitted."""
    return submissions(controller.store, job_ids)


def identify(controller: Controller, token: str) -> tokens.Identity | None:
    """Whose token this is."""
    return tokens.identify(controller.store, token)


def make_token(controller: Controller, owner: str, role: str) -> str:
    """A new token."""
    return tokens.create(controller.store, owner, tokens.Role.named(role), time.time())


def list_tokens(controller: Controller) -> Sequence[Row]:
    """Every token, without secrets."""
    return tokens.listed(controller.store)


def revoke_token(controller: Controller, token_id: str) -> None:
    """Refuse a token from now on."""
    tokens.revoke(controller.store, token_id, time.time())


def energy(controller: Controller) -> list[tuple[str, str, float, int]]:
    """(GPU type, provenance, joules, attempts) of all that was ever had."""
    return energy_totals(controller.store)


def started(controller: Controller) -> dict[str, float]:
    """By job id, when the program of each running attempt was allowed to start."""
    return controller.store.started_s()

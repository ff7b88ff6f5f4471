"""Several jobs submitted in one request: each is accepted or refused by itself."""

import asyncio
import uuid
from collections.abc import Awaitable, Sequence
from typing import TypeVar

from ..desk.desk import Desk, Prepared
from ..wire import schemas
from ..wire.batch_schemas import Answered
from ..wire.problems import Refusal, problem, refused

T = TypeVar("T")
PREDICTED_AT_ONCE = 16
"""Of one batch: a large one leaves the predictor's queue to others, too."""


async def submit_batch(
    desk: Desk, asked: Sequence[schemas.SubmissionBody], owner: str, key: str | None
) -> list[Answered]:
    """What became of each; the key of a job is that of the batch with the job's number behind it.

    All that can be accepted go to the scheduler in one transaction. A fault of the service is raised: whoever asks
    again by the same key gets the same jobs.
    """
    batch_key, limit = key or uuid.uuid4().hex, asyncio.Semaphore(PREDICTED_AT_ONCE)

    async def prepared(number: int, submission: schemas.SubmissionBody) -> Prepared | Exception:
        async with limit:
            return await _or_error(desk.request(submission, owner, f"{batch_key}/{number}"))

    async def answered(number: int, outcome: Prepared | Exception) -> Answered:
        if isinstance(outcome, Exception):
            return _shown(outcome)
        return _shown(await _or_error(desk.accepted(outcome, None if key is None else f"{key}/{number}")))

    outcomes = await asyncio.gather(*(prepared(number, submission) for number, submission in enumerate(asked)))
    return await asyncio.gather(*(answered(number, outcome) for number, outcome in enumerate(outcomes)))


async def _or_error(request: Awaitable[T]) -> T | Exception:
    try:
        return await request
    except Exception as error:  # told in its place, or raised, by `_shown`
        return error


def _shown(answer: schemas.Submitted | Exception) -> Answered:
    if isinstance(answer, schemas.Submitted):
        return Answered(accepted=answer, refused=None)
    refusal = answer if isinstance(answer, Refusal) else refused(answer)
    if refusal is None:
        raise answer
    return Answered(accepted=None, refused=problem(refusal))

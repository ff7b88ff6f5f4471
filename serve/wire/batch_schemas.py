"""Several jobs in one body, as they cross HTTP."""

from pydantic import Field

from .schemas import ProblemDetails, SubmissionBody, Submitted, Wire

MAX_BATCH = 200
"""Jobs in one body."""


class Batch(Wire):
    """Jobs that are submitted together."""

    jobs: list[SubmissionBody] = Field(min_length=1, max_length=MAX_BATCH)


class Answered(Wire):
    """What became of one job of a batch: `accepted` and durable, or `refused` with the reason; the other is null."""

    accepted: Submitted | None
    refused: ProblemDetails | None


class BatchAnswers(Wire):
    """What became of a batch, in its order."""

    jobs: list[Answered]

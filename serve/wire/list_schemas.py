"""Which jobs are meant, and what became of them, as JSON."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from .schemas import LabelName, Printable, Wire

MAX_JOBS = 10_000
"""Jobs in one request to cancel."""

Underway = Literal["waiting", "running"]
JobIds = Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=MAX_JOBS)]


class ToCancel(Wire):
    """Which jobs to cancel: those of these ids, or all that wait or run for which every other field holds.

    A `name` that ends in * is the beginning of names. `every` is needed where nothing else is said.
    """

    job_ids: JobIds | None = None
    state: Underway | None = None
    name: Printable | None = None
    labels: dict[LabelName, Printable] = Field(default={}, max_length=100)
    owner: str | None = Field(default=None, max_length=200, description="for operators: whose")
    every: bool = Field(default=False, description="all of one's jobs, of an operator everybody's")

    @model_validator(mode="after")
    def _something(self) -> "ToCancel":
        filters = self.state or self.name or self.labels or self.owner
        if self.job_ids is not None and (filters or self.every):
            raise ValueError("give job_ids, or state, name, labels and owner, not both")
        if self.job_ids is None and not filters and not self.every:
            raise ValueError("say which jobs: job_ids, state, name, labels or owner; all of them with every")
        return self


class Cancelled(Wire):
    """`cancelled` jobs waited and are over; the programs of `ending` were asked to end; `refused` says why, by id."""

    cancelled: list[str]
    ending: list[str]
    refused: dict[str, str]

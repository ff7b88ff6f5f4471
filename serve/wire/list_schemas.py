"""Which jobs are meant, and what became of them, as JSON."""

from typing import Annotated, Literal

from pydantic import Field

from .array_schemas import NamedTasks
from .schemas import Wire
from .texts import Printable

MAX_JOBS = 10_000
"""Jobs in one request to cancel."""

Underway = Literal["waiting", "running"]
JobIds = Annotated[list[Annotated[str, Field(max_length=40)]], Field(max_length=MAX_JOBS)]


class ToCancel(Wire):
    """Which jobs to cancel: of those that wait or run, the ones for which everything holds that is given.

    A `name` that ends in * is the beginning of names. Where nothing is given, `every` means all, else none is meant.
    """

    job_ids: JobIds | None = None
    state: Underway | None = None
    name: Printable | None = None
    labels: dict[str, str] = Field(default={}, max_length=100)
    owner: str | None = Field(default=None, max_length=200, description="for operators: whose")
    since_s: float | None = Field(default=None, strict=True, description="submitted then or later")
    until_s: float | None = Field(default=None, strict=True, description="submitted before")
    array: str | None = Field(default=None, max_length=40, description="the tasks of this job array")
    tasks: NamedTasks | None = Field(default=None, description="of these numbers of the array, as in 0-9")
    every: bool = Field(default=False, strict=True, description="all of one's jobs, of an operator everybody's")

    @property
    def filters(self) -> bool:
        """Whether anything beside ids is given."""
        times = self.since_s is not None or self.until_s is not None
        return bool(self.state or self.name or self.labels or self.owner or self.array or times)


class Cancelled(Wire):
    """`cancelled` jobs waited and are over; the programs of `ending` were asked to end; `refused` says why, by id."""

    cancelled: list[str]
    ending: list[str]
    refused: dict[str, str]

"""Job arrays as they cross HTTP: how they are asked for, and how they stand."""

from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from kilowait.core.errors import InputError
from kilowait.core.submission_limits import MAX_ENTRIES, MAX_TASKS
from kilowait.core.tasks import sweep
from kilowait.core.tasks.task_numbers import NUMBERS, PATTERN, task_numbers

from .schemas import Expectation, State, SubmissionBody, Wire
from .texts import Argument


def _numbered(text: str) -> str:
    try:
        task_numbers(text)
    except InputError as error:
        raise ValueError(str(error)) from None
    return text


TaskNumbers = Annotated[str, Field(max_length=1000, pattern=PATTERN), AfterValidator(_numbered)]
"""As in 0-99, 0-99:10 or 1,3,5-9, with %8 behind them for 8 at once."""
NamedTasks = Annotated[str, Field(max_length=1000, pattern=NUMBERS)]
Column = Annotated[str, Field(pattern=sweep.NAME)]
SweepRow = Annotated[dict[Column, Argument], Field(max_length=MAX_ENTRIES)]


class ArrayBody(SubmissionBody):
    """A job array: a job, and the numbers of its tasks, or a row of arguments for each, or both.

    In `arguments` and `environment`, `{task}` stands for the number of the task and `{name}` for what its row has under
    that name; what a row has that stands nowhere is appended as `--name value`.
    """

    tasks: TaskNumbers | None = Field(default=None, description="their numbers; left out: a task a row, from 0 on")
    rows: list[SweepRow] | None = Field(default=None, min_length=1, max_length=MAX_TASKS)
    at_once: int | None = Field(default=None, ge=1, le=1_000_000, description="tasks that may run at a time")

    @model_validator(mode="after")
    def _rows_fit(self) -> "ArrayBody":
        if self.tasks is None and self.rows is None:
            raise ValueError("give tasks (0-99) or rows, a row of arguments for each task")
        if self.rows is not None:
            names = list(self.rows[0])
            if any(row.keys() != self.rows[0].keys() for row in self.rows):
                raise ValueError("rows: each has the same names")
            try:
                sweep.check_columns(names, "rows")
            except InputError as error:
                raise ValueError(str(error)) from None
            if self.tasks is not None and len(task_numbers(self.tasks)[0]) != len(self.rows):
                raise ValueError(f"tasks: as many numbers as rows, which are {len(self.rows)}")
        if self.tasks is not None and task_numbers(self.tasks)[1] is not None and self.at_once is not None:
            raise ValueError("at_once: said in tasks already, behind the %")
        return self


class ArrayView(Wire):
    """A job array as it stands: how many of its tasks, those that were asked for, are in each state."""

    array_id: str
    owner: str
    name: str
    labels: dict[str, str]
    entrypoint: str
    arguments: list[str] = Field(description="before anything is filled in")
    tasks: str = Field(description="their numbers, as in 0-99")
    at_once: int | None
    submitted_s: float
    states: dict[State, int]


class ArraysPage(Wire):
    """A page of job arrays by id; `next` is the `after` of the next page, null on the last."""

    arrays: list[ArrayView]
    next: str | None


class ArraySubmitted(Wire):
    """A job array that is accepted: durable, all of it, when this is read. `by_type` is what its first task takes."""

    array_id: str
    job_ids: list[str]
    by_type: dict[str, Expectation]
    predicted: int = Field(description="tasks whose own arguments were predicted")
    warnings: list[str]

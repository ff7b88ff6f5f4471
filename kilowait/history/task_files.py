"""The texts of a task's program: its array keeps them once for all its tasks."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Row, select

from kilowait.core.jobs import Job
from kilowait.core.submission import Program
from kilowait.history.schema import ARRAYS

Rows = Callable[[Any], Sequence[Row[Any]]]


def whole_program(rows: Rows, job: Mapping[str, Any]) -> Program:
    """The program of a row of jobs, that of a task with the texts that its array keeps."""
    program = msgspec.json.decode(job["program"], type=Program)
    task = None if program.files else msgspec.json.decode(job["asked"], type=Job).array
    if task is None:
        return program
    (row,) = rows(select(ARRAYS.c.files).where(ARRAYS.c.array_id == task.array_id))
    return msgspec.structs.replace(program, files=msgspec.json.decode(row.files, type=Mapping[str, str]))

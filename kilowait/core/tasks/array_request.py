"""A job array as it is asked for: one program, called several times, its tasks alike but for their arguments."""

import hashlib
from collections.abc import Mapping

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.core.submission import DEADLINE, Request, checked, leave_out_newer
from kilowait.core.submission_limits import MAX_BODY_BYTES, MAX_TASKS

TASK, ARRAY = "KILOWAIT_TASK", "KILOWAIT_ARRAY"
"""Variables that a task sees: its number, and the id of its array."""


class TaskAsked(Struct, frozen=True, kw_only=True):
    """One task: what differs from the others; `environment` is all that it sees, but for `TASK` and `ARRAY`;
    `sealed` and `digest` are as in `Program`."""

    task: int
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    predictions: Mapping[str, Prediction]
    content_hash: str
    dry_run: str = ""
    sealed: str = ""
    digest: str = ""


class ArrayRequest(Struct, frozen=True, kw_only=True):
    """A client asks for a job array: `request` says what is alike, its `client_key` is the key of the whole array.

    Its program's arguments are those before anything is filled in. At most `at_once` tasks run at a time, None for any
    number.
    """

    request: Request
    tasks: tuple[TaskAsked, ...]
    at_once: int | None = None


def task_request(asked: ArrayRequest, task: TaskAsked, array_id: str = "") -> Request:
    """What is asked for one task, without the texts of its files, which are the array's."""
    whole = asked.request
    environment = {**task.environment, TASK: str(task.task), **({ARRAY: array_id} if array_id else {})}
    program = replace(
        whole.program,
        files={},
        arguments=task.arguments,
        environment=environment,
        sealed=task.sealed,
        digest=task.digest,
    )
    return replace(whole, program=program, predictions=task.predictions, dry_run=task.dry_run, client_key=None)


def checked_array(asked: ArrayRequest) -> str:
    """SHA-256 of what is asked for, predictions aside, in hexadecimal; raises InputError for what cannot be kept."""
    numbers = [task.task for task in asked.tasks]
    if not 1 <= len(numbers) <= MAX_TASKS:
        raise InputError(f"the array has {len(numbers):,} tasks, the limit is {MAX_TASKS:,}; submit it in parts")
    if len(set(numbers)) < len(numbers) or min(numbers) < 0:
        raise InputError("the tasks of an array have numbers of their own, from 0 on; correct them")
    if asked.at_once is not None and asked.at_once < 1:
        raise InputError(f"at once: must be >= 1, got {asked.at_once!r}")
    checked(asked.request)
    for task in asked.tasks:
        one = task_request(asked, task)
        own = replace(one.program, files={one.program.entrypoint: ""}, environment=task.environment)
        checked(replace(one, program=own))  # the text is checked, and its number is no variable that was asked for
    if (size := sum(map(_size, asked.tasks))) > MAX_BODY_BYTES:
        raise InputError(
            f"arguments and environments of all tasks: {size:,} bytes, the limit is {MAX_BODY_BYTES:,}; shorten them"
        )
    fields = msgspec.to_builtins(asked)
    for part in (fields["request"], *fields["tasks"]):
        del part["predictions"], part["dry_run"]
    leave_out_newer(fields["request"])
    if DEADLINE in asked.request.labels:  # which says it
        fields["request"]["job"]["deadline_s"] = None
    for part in (fields["request"]["program"], *fields["tasks"]):
        del part["sealed"]  # which is another each time
    return hashlib.sha256(msgspec.json.encode(fields, order="sorted")).hexdigest()


def _size(task: TaskAsked) -> int:
    return sum(map(len, task.arguments)) + sum(len(name) + len(text) for name, text in task.environment.items())

"""What a live scheduler is asked to run, and how an attempt of it ended.

These are records that are kept as JSON; `checked` is the one place where a request is judged.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, Literal

import msgspec
from msgspec import Struct

from kilowait.core.checkpoints.checkpointing import Checkpointing, check_checkpointing
from kilowait.core.control_characters import LINES, escaped
from kilowait.core.errors import InputError
from kilowait.core.jobs import Held, Job, Measurement, Prediction
from kilowait.core.submission_limits import (
    MAX_ARGUMENTS_BYTES,
    MAX_ENTRIES,
    MAX_ENVIRONMENT_BYTES,
    MAX_NAME,
    MAX_VARIABLE_BYTES,
)

Launcher = Literal["python", "torchrun", "accelerate", "bash"]
"""What starts a program on each node of its job. `torchrun` and `accelerate` start a process for each GPU that the job
has there, with the ranks and the rendezvous of all nodes; `bash` runs a script, which sees MASTER_ADDR, MASTER_PORT,
NNODES and NODE_RANK."""
BASH: Launcher = "bash"
PYTHON: Launcher = "python"
MAX_REASON = 2000
MAX_DRY_RUN = 8000
"""Characters of a reason that are kept."""


class Program(Struct, frozen=True, kw_only=True):
    """A Python program: `files` are texts by relative path, `entrypoint` the one that is run.

    `environment` is all that it sees besides a minimal set of variables. It is ended after `timeout_s` seconds, None
    for never. `software` is the environment of the operator's that was chosen, and `python` its interpreter. `outputs`
    are the files and folders that are kept of what it leaves in its folder. `secrets` are the names of the owner's
    secrets that it sees as variables. `launcher` is what starts it on each of its nodes, `checkpointing` how it is
    preempted, None where it cannot be. Where the history keeps it, `sealed` is its environment, encrypted, and `digest`
    tells whether two are the same. With `idle_s` it is a shell: it has a terminal, and ends once nothing happened there
    for so many seconds. `requirements` are packages, a line each, of the environment that is built for it. With an
    `image` it runs in a container of that.
    """

    files: Mapping[str, str]
    entrypoint: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    timeout_s: float | None = None
    software: str = ""
    python: str = ""
    outputs: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    launcher: Launcher = PYTHON
    checkpointing: Checkpointing | None = None
    sealed: str = ""
    digest: str = ""
    idle_s: float | None = None
    requirements: tuple[str, ...] = ()
    image: str = ""


class Retry(Struct, frozen=True, kw_only=True):
    """When a job whose attempt ended badly is tried again, up to `max_attempts` in all.

    `on_loss` where the node or the runner was lost, or did not start; `exit_codes` where the program left with one of
    these (-9 is SIGKILL).
    """

    max_attempts: int = 3
    on_loss: bool = True
    exit_codes: tuple[int, ...] = ()

    def allows(self, attempt: int, ending: "Ending") -> bool:
        """Whether another attempt follows this one, which ended badly."""
        may_retry = self.on_loss if ending.lost else ending.exit_code in self.exit_codes
        return may_retry and attempt < self.max_attempts


class Request(Struct, frozen=True, kw_only=True):
    """A client asks for a job. The scheduler sets the `job_id` and `submit_s` of `job`; its `user` is the owner.

    A second request of the same owner with the same `client_key` is the same job, so a client may ask again when it
    heard no answer. `dry_run` is what a dry run found and assumed, for people; two requests may differ in it.
    """

    job: Job
    predictions: Mapping[str, Prediction]
    program: Program
    client_key: str | None = None
    labels: Mapping[str, str] = {}
    retry: Retry = Retry()
    dry_run: str = ""


class Log(Struct, frozen=True, kw_only=True):
    """What is kept of a log: `data` begins `first_byte` bytes behind its beginning. `rank` is that of the node."""

    rank: int
    first_byte: int
    data: bytes


class Ending(Struct, frozen=True, kw_only=True):
    """How an attempt ended: well where `reason` is None.

    `lost` is true where not the program ended it but its node or runner died or never began. `preempted` is true where
    it was asked to write a checkpoint and end, `checkpointed` where it did so and that is kept. `meter` says what
    measured the energy, `gpu_ids` the boards it had by UUID. `peak_memory_bytes` is the largest process in main
    memory, `gpu_memory_bytes` the peak on one board.
    """

    exit_code: int | None = None
    reason: str | None = None
    lost: bool = False
    preempted: bool = False
    checkpointed: bool = False
    measurement: Measurement | None = None
    meter: str = ""
    gpu_ids: tuple[str, ...] = ()
    peak_memory_bytes: int | None = None
    gpu_memory_bytes: int | None = None
    logs: tuple[Log, ...] = ()


class Attempt(Struct, frozen=True, kw_only=True):
    """An attempt that holds GPUs: what to start, and where. `token` is its fencing token, larger for each later one.

    `limit_w` is the power limit of each of its boards, None for their own.
    """

    job_id: str
    attempt: int
    token: int
    gpu_type: str
    gpu_milli: int
    where: tuple[Held, ...]
    placed_s: float
    started: bool = False
    cancelling: bool = False
    owner: str | None = None
    limit_w: float | None = None


def checked(request: Request) -> str:
    """SHA-256 of what is asked for, in hexadecimal; raises InputError for what cannot be kept or run."""
    job, program = request.job, request.program
    for name, text in (("owner", job.user), ("key", request.client_key), *request.labels.items()):
        if text is not None and not (len(text) <= MAX_NAME and text.isprintable()):
            raise InputError(f"{name}: must be printable and of at most {MAX_NAME} characters, got {text[:MAX_NAME]!r}")
    check_checkpointing(job.checkpoint_s, program.checkpointing)
    if request.retry.max_attempts < 1:
        raise InputError(f"max_attempts must be >= 1, got {request.retry.max_attempts!r}")
    _check_program(program)
    try:
        encoded = _asked(request)
        written = replace(job, deadline_s=None) if DEADLINE in request.labels else job
        program = msgspec.structs.replace(program, sealed="")
        bare = msgspec.structs.replace(request, dry_run="", program=program, job=written)
        if msgspec.json.decode(encoded, type=Request) != bare:
            raise InputError("the request does not read back as it was written: is a number infinite or not a number?")
    except (UnicodeEncodeError, msgspec.ValidationError) as error:
        raise InputError(f"the request cannot be kept: {error}") from error
    return hashlib.sha256(encoded).hexdigest()


DEADLINE = "kilowait/deadline"
"""The label that keeps a deadline as it was written."""
NEWER = ("limits", "limit_w", "steps", "beside")
"""What a prediction may say that the first release knew nothing of."""


def _asked(request: Request) -> bytes:
    """What two requests by one key must agree in, as the first release wrote it where nothing newer is asked for."""
    fields = msgspec.to_builtins(request)
    del fields["dry_run"], fields["job"]["array"]  # a task is never asked for by itself
    for name in ("outputs", "secrets", "digest"):
        if not fields["program"][name]:
            del fields["program"][name]
    leave_out_newer(fields)
    del fields["program"]["sealed"]  # which is another each time
    if fields["job"]["slack_s"] is None:  # which the first releases did not know, as the next
        del fields["job"]["slack_s"]
    if fields["job"]["deadline_s"] is None or DEADLINE in request.labels:
        del fields["job"]["deadline_s"]  # the label says it, as it did before there was a field
    for prediction in fields["predictions"].values():
        for name in NEWER:
            if not prediction[name]:
                del prediction[name]
    return msgspec.json.encode(fields, order="sorted")


def leave_out_newer(fields: dict[str, Any]) -> None:
    """Delete of a request those fields that came after arrays and ask for nothing: keys of before stay good."""
    if fields["program"]["launcher"] == PYTHON:
        del fields["program"]["launcher"]
    for name in ("idle_s", "requirements", "image", "checkpointing"):
        if not fields["program"][name]:
            del fields["program"][name]
    for name in ("after", "after_any"):
        if not fields["job"][name]:
            del fields["job"][name]


def printable(reason: str) -> str:
    """A reason that every database can keep, and every terminal show."""
    return escaped(reason, LINES)[-MAX_REASON:]


def dry_run_line(text: str) -> str:
    """What a dry run said, as every database can keep it and every terminal show it: its beginning."""
    return escaped(text, LINES)[:MAX_DRY_RUN]


def check_environment(environment: Mapping[str, str]) -> None:
    """Raises InputError for more, longer or other variables than a job may have."""
    if len(environment) > MAX_ENTRIES:
        raise InputError(f"environment: {len(environment):,} variables, the limit is {MAX_ENTRIES}; leave some out")
    for name, value in environment.items():
        _check_characters("environment", name, value)
        if not 0 < len(name) <= MAX_NAME or "=" in name or "\0" in name + value:
            raise InputError(
                f"environment: variable {name[:60]!r}: a name has 1 to {MAX_NAME} characters, no '=', and neither part "
                "a NUL byte; correct it"
            )
        if (size := len(_bytes(value))) > MAX_VARIABLE_BYTES:
            raise InputError(
                f"environment: variable {name[:60]!r} has {size:,} bytes, the limit is {MAX_VARIABLE_BYTES:,}; put "
                "data into a file"
            )
    total = sum(len(_bytes(text)) for variable in environment.items() for text in variable)
    if total > MAX_ENVIRONMENT_BYTES:
        raise InputError(
            f"environment: {total:,} bytes in all, the limit is {MAX_ENVIRONMENT_BYTES:,}; put data into a file"
        )


def _check_characters(field: str, *texts: str) -> None:
    """Raises InputError for half a character (a lone surrogate), which JSON can say and nothing can keep."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            where = f"{field}: half a character at place {error.start} of {text[:60]!r}"
            raise InputError(f"{where}; send whole characters, encoded as UTF-8") from None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _check_outputs(patterns: Sequence[str]) -> None:
    """Raises InputError for outputs that can mean nothing in a job's folder."""
    if len(patterns) > MAX_ENTRIES:
        raise InputError(f"outputs: {len(patterns):,} of them, the limit is {MAX_ENTRIES}; name folders")
    for pattern in patterns:
        inside = not pattern.startswith("/") and ".." not in pattern.split("/")
        if not (inside and pattern.strip("/") and len(pattern) <= MAX_NAME and pattern.isprintable()):
            raise InputError(f"output {pattern[:100]!r}: give a path in the job's folder, as in checkpoints/ or *.pt")


def _check_arguments(arguments: Sequence[str]) -> None:
    """Raises InputError for arguments that no program can be called with."""
    _check_characters("arguments", *arguments)
    if any("\0" in argument for argument in arguments):
        raise InputError("arguments must have no NUL byte")
    if (size := sum(len(_bytes(argument)) for argument in arguments)) > MAX_ARGUMENTS_BYTES:
        raise InputError(
            f"arguments: {size:,} bytes in all, the limit is {MAX_ARGUMENTS_BYTES:,}; put data into a file"
        )


def _check_program(program: Program) -> None:
    """Raises InputError for an entrypoint that is not there, a path that leaves the folder, or a bad timeout."""
    if program.entrypoint not in program.files:
        raise InputError(
            f"entrypoint {program.entrypoint!r} is none of the files {', '.join(program.files) or '(none)'}"
        )
    for name in program.files:
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
            raise InputError(f"file {name!r}: give a path inside the job's own folder")
    check_environment(program.environment)
    _check_outputs(program.outputs)
    resumed = () if program.checkpointing is None else program.checkpointing.arguments
    _check_arguments((*program.arguments, *resumed))
    if program.timeout_s is not None and not 0 < program.timeout_s < 1e9:
        raise InputError(f"timeout_s must be > 0 and finite, got {program.timeout_s!r}")

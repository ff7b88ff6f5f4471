"""From what was submitted to a program that can be run and a source that can be predicted."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from kilowait.core.checkpoints.checkpointing import Checkpointing
from kilowait.core.errors import SourceError
from kilowait.core.submission import Program
from kilowait.program.job_source import JobSource, check_path, check_paths
from kilowait.program.source import check_lines
from kilowait.program.submitted import job_source

from ..wire import schemas
from ..wire.checkpoint_schemas import CheckpointBody
from ..wire.problems import Refusal
from .archive import unpacked
from .runnable import check_runnable

Reading = tuple[JobSource, tuple[str, ...]]
"""What is predicted, and what may be missing in it."""


def program_asked(asked: schemas.SourceBody) -> Program:
    """What is only to be predicted; raises Refusal for paths that are none, where there are several files."""
    if asked.files:
        with _refused("files"):
            check_paths((*asked.files, asked.name))
    return Program(
        files={**asked.files, asked.name: asked.source},
        entrypoint=asked.name,
        arguments=tuple(asked.arguments),
        environment=asked.environment,
    )


def program_of(asked: schemas.SubmissionBody) -> Program:
    """The files, the entrypoint and what it is called with; raises Refusal for files that cannot be written or run."""
    with _refused("entrypoint"):
        check_path(asked.entrypoint)
        if asked.entrypoint.startswith("-"):
            raise SourceError(f"{asked.entrypoint}: begins with a dash, as options do; rename it")
    files: Mapping[str, str] = {asked.entrypoint: asked.source or ""}
    if asked.archive is not None:
        with _refused("archive"):
            check_paths(files := unpacked(asked.archive))
    with _refused("entrypoint"):
        check_runnable(asked.entrypoint, files.get(asked.entrypoint, ""), asked.launcher)
    return Program(
        files=files,
        entrypoint=asked.entrypoint,
        arguments=tuple(asked.arguments),
        environment=asked.environment,
        timeout_s=asked.timeout_s,
        outputs=tuple(asked.outputs),
        secrets=tuple(dict.fromkeys(asked.secrets)),
        launcher=asked.launcher,
        checkpointing=checkpointing_of(asked.checkpoint),
    )


def checkpointing_of(asked: CheckpointBody | None) -> Checkpointing | None:
    """How a program is preempted, None where it cannot be."""
    if asked is None:
        return None
    return Checkpointing(signal=asked.signal, grace_s=asked.grace_s, arguments=tuple(asked.arguments))


def source_of(program: Program) -> Reading:
    """What is predicted: the files that the entrypoint reaches, with its arguments; and what may be missing in it.

    Raises as `check_program`, and SourceError where it is no text worth predicting.
    """
    check_program(program)
    return job_source(program.files, program.entrypoint, program.arguments)


def check_program(program: Program) -> None:
    """Raises Refusal where the entrypoint is not among the files, SourceError for a line of Python that is too long."""
    if program.entrypoint not in program.files:
        have = ", ".join(list(program.files)[:10])
        raise Refusal(
            422, "invalid input", f"entrypoint {program.entrypoint!r} is not in the archive", field="entrypoint",
            remedy=f"name one of: {have}",
        )  # fmt: skip
    for path, text in program.files.items():
        if path.endswith(".py") or path == program.entrypoint:
            check_lines(path, text)


@contextmanager
def _refused(field: str) -> Iterator[None]:
    """A file that cannot be used, as a refusal of the field that it came in."""
    try:
        yield
    except SourceError as error:
        detail, _, remedy = str(error).partition("; ")
        raise Refusal(422, "invalid input", detail, field=field, remedy=remedy or f"correct {field}") from None

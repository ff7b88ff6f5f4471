"""Which Python a job has: kilowait's own, that of an environment of the operator's, or one that is built for it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from kilowait.core.errors import InputError
from kilowait.core.submission import Program
from kilowait.isolation.modes import CONTAINER, IsolationSettings
from kilowait.predict.dry_run_access import DryRunAccess

from ..software import access_of, python_of
from ..wire.schemas import SubmissionBody
from .asked_packages import LOCK, PLAIN, READ_AS, asked_packages
from .built_environments import BuiltEnvironments

if TYPE_CHECKING:
    from ..desk.desk import Desk
    from ..scheduler.settings import SchedulerSettings

NOT_YET = (
    "its environment is built when it starts, while it holds its GPUs; until it stands, dry runs have the service's "
    "own packages"
)
OWN_TORCH = "its dry run had the packages of its environment, with the service's own PyTorch"


async def with_python(desk: "Desk", asked: SubmissionBody, program: Program) -> Program:
    """The program with the interpreter that it will have; raises Refusal, and InputError for requirements."""
    python = python_of(desk.software, asked.software)
    program = msgspec.structs.replace(program, software=asked.software or "", python=python)
    if desk.settings is None:
        await desk.ask(lambda _: None)
    settings = desk.settings
    if settings is None or not (files := _requirements(asked, program, always=settings.environments.always)):
        return program
    if asked.software:
        raise InputError("requirements: an environment of the operator's has its own packages; leave software out")
    if not settings.environments.folder:
        raise InputError("requirements: no environments are built here; choose one of the operator's by software")
    if settings.isolation.mode == CONTAINER:
        raise InputError("requirements: jobs run in containers here, with the packages of their image; leave them out")
    packages = await asyncio.to_thread(asked_packages, files)
    built = BuiltEnvironments(settings.environments).python_for(packages)
    return msgspec.structs.replace(program, python=built, requirements=packages)


def access_in(
    settings: "SchedulerSettings | None", isolation: IsolationSettings, owner: str, python: str
) -> DryRunAccess:
    """As `access_of`; the packages of an environment that was built are only read, for its Python is nobody's to trust.

    Inside the sandbox a dry run finds them before the service's own, but for PyTorch and NumPy.
    """
    if settings is None or not (built := BuiltEnvironments(settings.environments)).holds(python):
        return access_of(isolation, owner, python)
    access = access_of(isolation, owner)
    found = next(iter(Path(python).parents[1].glob("lib/python3*/site-packages")), None)
    if found is None or not built.ready(python):
        return access
    return replace(access, data=(*access.data, str(found)), environment=(("PYTHONPATH", str(found)),))


def notes_of(desk: "Desk", program: Program) -> list[str]:
    """What a user should know of the dry run of a program with requirements."""
    if not program.requirements or desk.settings is None:
        return []
    ready = BuiltEnvironments(desk.settings.environments).ready(program.python)
    return [OWN_TORCH if ready else NOT_YET]


def _requirements(asked: SubmissionBody, program: Program, *, always: bool) -> dict[str, str]:
    """What was given; where the operator wants it, also what lies among the files of the program."""
    if asked.requirements or not always or asked.software:
        return {str(name): text for name, text in asked.requirements.items()}
    found = {name: program.files[name] for name in READ_AS if name in program.files}
    return found if PLAIN in found or LOCK in found else {}

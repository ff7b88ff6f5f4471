"""Which Python a job has: kilowait's own, that of a named environment, of one that is built for it, or of an image."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import msgspec

from kilowait.core.errors import InputError
from kilowait.core.submission import Program, Request, dry_run_line
from kilowait.isolation.modes import CONTAINER, IsolationSettings
from kilowait.predict.dry_run_access import DryRunAccess
from kilowait.predict.interpreter import of_image

from ..software import access_of, python_of
from .asked_packages import LOCK, PLAIN, READ_AS, asked_packages
from .built_environments import BuiltEnvironments, EnvironmentSettings

if TYPE_CHECKING:
    from ..desk.desk import Desk
    from ..scheduler.settings import SchedulerSettings

IN_IMAGE = "image:"
"""What stands before an image where the path of an interpreter stands else."""
NOT_YET = (
    "its environment is built when it starts, while it holds its GPUs; until it stands, dry runs have the service's "
    "own packages"
)
OWN_TORCH = "its dry run had the packages of its environment, with the service's own PyTorch"
ANSWERS_WITHIN_S, SOON_S = 10.0, 10.0
"""So long an answer of podman's is waited for, and so long at most it counts."""


class Chosen(Protocol):
    """What a submission says of its Python."""

    software: str | None
    image: str | None


async def with_python(desk: "Desk", asked: Chosen, program: Program) -> Program:
    """The program with the interpreter that it will have; raises Refusal, and InputError for what cannot be had."""
    program = msgspec.structs.replace(
        program, software=asked.software or "", python=python_of(desk.software, asked.software)
    )
    if not (asked.image or _requirements(asked, program, always=True)):
        return program
    if desk.settings is None:
        await desk.ask(lambda _: None)
    settings = desk.settings
    assert settings is not None  # once something was asked
    if asked.image:
        return _in_image(asked, program, settings.isolation)
    if not (files := _requirements(asked, program, always=settings.environments.always)):
        return program
    packages = await asyncio.to_thread(_packages, asked, files, settings)
    built = BuiltEnvironments(settings.environments).python_for(packages)
    return msgspec.structs.replace(program, python=built, requirements=packages)


def access_in(
    settings: "SchedulerSettings | None", isolation: IsolationSettings, owner: str, python: str
) -> DryRunAccess:
    """As `access_of`; the packages of an environment that was built are only read, for its Python is nobody's to trust.

    Inside the sandbox a dry run finds them before the service's own, but for PyTorch and NumPy. One of an image is in a
    container of that, where one can be had here.
    """
    if python.startswith(IN_IMAGE):
        image = python.removeprefix(IN_IMAGE)
        inside = None if unseen_image(image) else of_image(image)
        return replace(access_of(isolation, owner), interpreter=inside)
    environments = EnvironmentSettings() if settings is None else settings.environments
    if not (built := BuiltEnvironments(environments)).holds(python):
        return access_of(isolation, owner, python)
    access = access_of(isolation, owner)
    found = next(iter(Path(python).parents[1].glob("lib/python3*/site-packages")), None)
    if found is None or not built.ready(python):
        return access
    return replace(access, data=(*access.data, str(found)), environment=(("PYTHONPATH", str(found)),))


def notes_of(desk: "Desk", program: Program) -> list[str]:
    """What a user should know of the dry run of a program with requirements, or in an image."""
    if program.image:
        why = unseen_image(program.image)
        looked = f"its dry run did not look inside {program.image}: {why}; it had the service's own packages"
        return [looked if why else f"its dry run was in {program.image}, without network"]
    if not program.requirements or desk.settings is None:
        return []
    ready = BuiltEnvironments(desk.settings.environments).ready(program.python)
    return [OWN_TORCH if ready else NOT_YET]


def with_notes(request: Request, notes: Sequence[str]) -> Request:
    """The request whose dry run, where there was one, says these too."""
    if not (notes and request.dry_run):
        return request
    return msgspec.structs.replace(request, dry_run=dry_run_line("; ".join([request.dry_run, *notes])))


def unseen_image(image: str) -> str:
    """Why no dry run can be in this image here, "" where one can; one that is not here is not fetched for it."""
    if (interpreter := of_image(image)) is None:
        return "neither podman nor apptainer is where the service runs"
    engine = interpreter.command[0]
    if Path(engine).name != "podman":
        return "" if image.startswith("/") and Path(image).is_file() else "it is no file where the service runs"
    found = _exists(shutil.which("podman") or engine, image, int(time.monotonic() / SOON_S))
    return "" if found else "it is not where the service runs"


@lru_cache(maxsize=1000)
def _exists(podman: str, image: str, _moment: int) -> bool:
    """Whether podman has an image; the same submission asks more than once, and podman takes a while."""
    question = [podman, "image", "exists", image]
    try:
        return subprocess.run(question, capture_output=True, timeout=ANSWERS_WITHIN_S, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _in_image(asked: Chosen, program: Program, isolation: IsolationSettings) -> Program:
    image = asked.image or ""
    if asked.software or getattr(asked, "requirements", None):
        raise InputError("image: it has its own packages; leave software and requirements out")
    if ".." in image.split("/"):
        raise InputError(f"image {image}: '..' in its path leads out of what the operator allows; write it without")
    if not any(fnmatchcase(image, allowed) for allowed in isolation.images):
        known = ", ".join(isolation.images)
        raise InputError(
            f"image {image}: the operator allows {known or 'none'}; "
            + (f"choose one of {known}" if known else "leave it out, or choose an environment by software")
        )
    return msgspec.structs.replace(program, image=image, python=f"{IN_IMAGE}{image}")


def _packages(asked: Chosen, files: Mapping[str, str], settings: "SchedulerSettings") -> tuple[str, ...]:
    if asked.software:
        raise InputError("requirements: an environment of the operator's has its own packages; leave software out")
    if not settings.environments.folder:
        raise InputError("requirements: no environments are built here; choose one of the operator's by software")
    if settings.isolation.mode == CONTAINER:
        raise InputError("requirements: jobs run in containers here, with the packages of their image; leave them out")
    return asked_packages(files)


def _requirements(asked: Chosen, program: Program, *, always: bool) -> dict[str, str]:
    """What was given; where the operator wants it, also what lies among the files of the program."""
    given: Mapping[str, str] = getattr(asked, "requirements", {})
    if given or not always or asked.software:
        return {str(name): text for name, text in given.items()}
    found = {name: program.files[name] for name in READ_AS if name in program.files}
    return found if PLAIN in found or LOCK in found else {}

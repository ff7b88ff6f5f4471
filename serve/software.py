"""The software environments that an operator named: which interpreter a job gets, and what its dry run may use."""

import os
from collections.abc import Mapping

from kilowait.core.errors import InputError
from kilowait.isolation.modes import IsolationSettings
from kilowait.predict.dry_run_access import DryRunAccess, of_owner
from kilowait.predict.interpreter import Interpreter

from .wire.problems import Refusal


def checked_software(software: Mapping[str, str]) -> Mapping[str, str]:
    """Interpreters by name; raises InputError for one that is not there."""
    for name, python in software.items():
        if not os.path.isabs(python) or not os.access(python, os.X_OK):
            raise InputError(f"software {name}: {python} is no program by its whole path; name its interpreter")
    return software


def software_of(text: str) -> tuple[str, str]:
    """Read "NAME=/PATH/TO/PYTHON"; raises InputError."""
    name, equals, python = text.partition("=")
    if not (name and equals and python):
        raise InputError(f"software {text!r}: must be NAME=PYTHON, as in vision=/opt/envs/vision/bin/python")
    return name, python


def python_of(software: Mapping[str, str], name: str | None) -> str:
    """The interpreter of the environment that was asked for, "" where none was; raises Refusal."""
    if not name:
        return ""
    if name not in software:
        known = ", ".join(sorted(software)) or "none: the operator has named no environment"
        raise Refusal(
            422, "invalid input", f"there is no software environment {name!r}", field="software",
            remedy=f"choose one of {known}" if software else f"leave it out; there are {known}",
        )  # fmt: skip
    return software[name]


def access_of(isolation: IsolationSettings, owner: str, python: str = "") -> DryRunAccess:
    """What the dry run of a job of this owner may use: the mounts that its jobs see, and its interpreter."""
    interpreter = Interpreter(command=(python,), name=python) if python else None
    return of_owner((mount.path for mount in isolation.mounts_of(owner)), isolation.hidden, interpreter)

"""Texts that requests hold, each with what it may be."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from kilowait.core.errors import InputError
from kilowait.core.submission import check_environment
from kilowait.core.submission_limits import MAX_ENTRIES, MAX_NAME
from kilowait.program.limits import MAX_ARGUMENT_CHARACTERS

MAX_REQUIREMENTS = 4_000_000
"""Characters: a lock of a large project has a million."""
Printable = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]
JobId = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$")]
Argument = Annotated[str, Field(max_length=MAX_ARGUMENT_CHARACTERS)]
GpuTypeNames = Annotated[list[Annotated[str, Field(max_length=MAX_NAME)]], Field(max_length=MAX_ENTRIES)]
Owner = Annotated[str, Field(min_length=1, max_length=MAX_NAME, pattern=r"^[^\x00-\x1f\x7f]*$")]
LabelName = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^/\x00-\x1f\x7f]*$")]
"""Names with a slash are the service's own."""

Image = Annotated[
    str | None,
    Field(max_length=MAX_NAME, pattern=r"^[A-Za-z0-9/][A-Za-z0-9._:/@+-]*$", description="a container's image"),
]
Software = Annotated[str | None, Field(max_length=MAX_NAME, description="the operator's environment it runs in")]


def _bounded(environment: dict[str, str]) -> dict[str, str]:
    try:
        check_environment(environment)
    except InputError as error:
        raise ValueError(str(error)) from None
    return environment


Environment = Annotated[
    dict[str, str], Field(max_length=MAX_ENTRIES, description="variables that it sees"), AfterValidator(_bounded)
]

RequirementsFile = Literal["requirements.txt", "pyproject.toml", "uv.lock"]
Requirements = Annotated[
    dict[RequirementsFile, Annotated[str, Field(max_length=MAX_REQUIREMENTS)]],
    Field(max_length=3, description="files that state the packages of the environment that is built for it"),
]

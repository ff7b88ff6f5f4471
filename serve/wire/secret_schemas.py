"""Secrets as they cross HTTP: a value goes in, and never out."""

from pydantic import Field, SecretStr

from kilowait.core.submission_limits import MAX_VARIABLE_BYTES

from .schemas import Wire


class SecretAsked(Wire):
    """A value to keep."""

    value: SecretStr = Field(min_length=1, max_length=MAX_VARIABLE_BYTES)


class SecretName(Wire):
    """A secret without its value."""

    name: str
    set_s: float


class SecretList(Wire):
    """One's secrets."""

    secrets: list[SecretName]

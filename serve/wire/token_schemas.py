"""Tokens as JSON."""

from typing import Literal

from pydantic import Field

from .schemas import Wire
from .texts import Owner


class TokenAsked(Wire):
    """A token to make."""

    owner: Owner
    role: Literal["read", "submit", "operate"]
    expires_in_s: float | None = Field(
        default=None, gt=0, le=3e9, strict=True, description="how long it holds; left out: for ever"
    )
    scopes: list[Literal["predict", "jobs", "notices", "secrets", "service"]] = Field(
        default=[], max_length=5, description="what it is for; left out: all that the role allows"
    )


class TokenMade(Wire):
    """A new token: shown once."""

    token: str


class Token(Wire):
    """A token as it is listed: never its secret."""

    token_id: str
    owner: str
    role: str
    created_s: float
    revoked_s: float | None
    expires_s: float | None = None
    scopes: list[str] = Field(default=[], description="what it is for; none: all that the role allows")


class TokenList(Wire):
    """Every token ever made."""

    tokens: list[Token]


class SignOnView(Wire):
    """The host of the provider by which one may sign in to the page, null where there is none."""

    provider: str | None

"""Tokens as JSON."""

from typing import Literal

from .schemas import Owner, Wire


class TokenAsked(Wire):
    """A token to make."""

    owner: Owner
    role: Literal["read", "submit", "operate"]


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


class TokenList(Wire):
    """Every token ever made."""

    tokens: list[Token]

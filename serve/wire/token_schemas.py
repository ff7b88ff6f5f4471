"""Tokens as JSON: see `serve.wire.schemas` for the rest of what crosses HTTP."""

from .schemas import Wire


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

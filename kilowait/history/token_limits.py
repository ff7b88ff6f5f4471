"""What a token does not allow though its role would: until when it holds, and what it is for."""

from collections.abc import Iterable

from sqlalchemy import Column, Float, MetaData, String, Table, Text

from kilowait.core.errors import InputError

SCOPES = {
    "predict": ("predict", "what-if"),
    "jobs": ("jobs", "jobs:batch", "jobs:cancel", "arrays", "history", "shells"),
    "notices": ("notices",),
    "secrets": ("secrets",),
    "service": (),
}
"""By scope, the first parts of the paths behind /v1 that it is for; `service` is for all others."""
LIMITS = Table(
    "token_limits",
    MetaData(),
    Column("token_id", String(12), primary_key=True),
    Column("expires_s", Float(53)),
    Column("scopes", Text, nullable=False),
)


def checked_scopes(scopes: Iterable[str]) -> str:
    """Scopes as they are kept, "" for all; raises InputError for one that is none."""
    asked = list(dict.fromkeys(scopes))
    if strange := [scope for scope in asked if scope not in SCOPES]:
        raise InputError(f"scope {strange[0][:60]!r} is unknown; known: {', '.join(SCOPES)}")
    return ",".join(asked)


def scope_of(path: str) -> str:
    """The scope that a path of the API belongs to."""
    first = path.removeprefix("/v1/").partition("/")[0] if path.startswith("/v1/") else ""
    return next((scope for scope, parts in SCOPES.items() if first in parts), "service")

"""Who may ask a live scheduler for what: bearer tokens, of which only a hash is kept.

A token is `kw_<id>_<secret>` with 256 random bits of secret, so a plain SHA-256 of it cannot be tried through, and the
id tells tokens apart in lists and logs. A lost token cannot be read back: revoke it and make another.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Mapping, Sequence
from enum import IntEnum
from math import inf
from typing import Any

from msgspec import Struct
from sqlalchemy import Column, Float, MetaData, String, Table, Text, insert, select, update

from kilowait.core.errors import InputError
from kilowait.core.submission_limits import MAX_NAME
from kilowait.history.store import Store
from kilowait.history.token_limits import LIMITS, checked_scopes

PREFIX = "kw"
TOKENS = Table(
    "tokens",
    MetaData(),
    Column("token_id", String(12), primary_key=True),
    Column("owner", Text, nullable=False),
    Column("role", String(8), nullable=False),
    Column("secret_hash", String(64), nullable=False),
    Column("created_s", Float(53), nullable=False),
    Column("revoked_s", Float(53)),
)


_JOINED = TOKENS.outerjoin(LIMITS, LIMITS.c.token_id == TOKENS.c.token_id)


class Role(IntEnum):
    """What a token allows; each role may also do what those before it may."""

    READ = 1  # look at the cluster and at one's own jobs, predict, ask what if
    SUBMIT = 2  # submit and cancel one's own jobs
    OPERATE = 3  # see and cancel everybody's jobs, drain nodes, make and revoke tokens

    @classmethod
    def named(cls, name: str) -> "Role":
        """The role of that name; raises InputError."""
        try:
            return cls[name.upper()]
        except KeyError:
            raise InputError(f"role {name!r} is unknown; known: {', '.join(r.name.lower() for r in cls)}") from None


class Identity(Struct, frozen=True, kw_only=True):
    """Who asks: the owner that a token was made for, and what it allows: of what the role does that which `scopes`
    name, all of it where they name nothing. `administers` are the members of the projects whose administrator it is."""

    token_id: str
    owner: str
    role: Role
    scopes: tuple[str, ...] = ()
    administers: frozenset[str] = frozenset()

    def sees(self, owner: str | None) -> bool:
        """Whether what belongs to somebody is shown: one's own, a project's to who administers it, to operators all."""
        return self.role >= Role.OPERATE or owner == self.owner or owner in self.administers

    def whose(self, asked: str | None = None) -> str | None:
        """Whose is shown to somebody who asks for what is of `asked`: that where it may be seen, else one's own; None
        is all, to an operator."""
        return asked if self.role >= Role.OPERATE or asked in self.administers else self.owner


def create(
    store: Store,
    owner: str,
    role: Role,
    now_s: float,
    *,
    expires_s: float | None = None,
    scopes: Sequence[str] = (),
) -> str:
    """Make a token and return it: the only time that it is seen. Raises InputError for an owner without a name, a scope
    that is unknown and a time that is past."""
    if not owner.strip() or len(owner) > MAX_NAME or not owner.isprintable():
        raise InputError(f"owner: must be printable and of 1 to {MAX_NAME} characters, got {owner[:MAX_NAME]!r}")
    token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
    row = {"token_id": token_id, "owner": owner, "role": role.name.lower(), "secret_hash": _hash(secret)}
    limits = {"token_id": token_id, "expires_s": expires_s, "scopes": checked_scopes(scopes)}
    if expires_s is not None and not now_s < expires_s < inf:
        raise InputError("expires: the time is past, or none; give one that is to come")
    _ensure(store)
    if expires_s is not None or scopes:  # before there is a token without them
        store.change(insert(LIMITS).values(**limits))
    store.change(insert(TOKENS).values(**row, created_s=now_s))
    return f"{PREFIX}_{token_id}_{secret}"


def id_of(token: str) -> str:
    """The id of a token that was made here, which may stand in lists and logs."""
    return token.split("_", 2)[1]


def identify(store: Store, token: str, now_s: float | None = None) -> Identity | None:
    """Whose token this is, None for one that was never made, is revoked or has expired."""
    parts = token.split("_", 2)
    if len(parts) != 3 or parts[0] != PREFIX:
        return None
    _ensure(store)
    query = select(TOKENS, LIMITS.c.expires_s, LIMITS.c.scopes).select_from(_JOINED)
    rows = store.rows(query.where(TOKENS.c.token_id == parts[1], TOKENS.c.revoked_s.is_(None)))
    if not rows or not hmac.compare_digest(rows[0].secret_hash, _hash(parts[2])):
        return None
    row = rows[0]
    if row.expires_s is not None and row.expires_s <= (time.time() if now_s is None else now_s):
        return None
    scopes = tuple(row.scopes.split(",")) if row.scopes else ()
    return Identity(token_id=row.token_id, owner=row.owner, role=Role.named(row.role), scopes=scopes)


def listed(store: Store) -> Sequence[Mapping[str, Any]]:
    """Every token ever made, the first first, without its hash."""
    _ensure(store)
    columns = [column for column in TOKENS.c if column.name != "secret_hash"]
    query = select(*columns, LIMITS.c.expires_s, LIMITS.c.scopes).select_from(_JOINED)
    rows = [dict(row._mapping) for row in store.rows(query.order_by(TOKENS.c.created_s, TOKENS.c.token_id))]
    return [{**row, "scopes": row["scopes"].split(",") if row["scopes"] else []} for row in rows]


def revoke(store: Store, token_id: str, now_s: float, *, force: bool = False) -> None:
    """From now on the token is refused; asking again changes nothing.

    Raises InputError for one that is unknown and, without `force`, for the last one of an operator.
    """
    _ensure(store)
    if not store.rows(select(TOKENS.c.token_id).where(TOKENS.c.token_id == token_id)):
        raise InputError(f"token {token_id!r} is unknown; list them with: kilowait token list")
    holds = TOKENS.c.revoked_s.is_(None)
    lasting = LIMITS.c.token_id.is_(None)  # one with limits cannot take the place of one without
    operators = select(TOKENS.c.token_id).select_from(_JOINED)
    operators = operators.where(holds, lasting, TOKENS.c.role == Role.OPERATE.name.lower())
    with store.alone("written") as connection:  # or two who revoke each other's would leave none
        if not force and connection.execute(operators).scalars().all() == [token_id]:
            raise InputError(
                f"token {token_id!r} is the last operator's: nobody could make another with it gone; make one first "
                "(kilowait token create --role operate), or revoke this one with --force"
            )
        connection.execute(update(TOKENS).where(holds, TOKENS.c.token_id == token_id).values(revoked_s=now_s))


def _ensure(store: Store) -> None:
    """Make the tables where they are not there: a history may be older than its tokens."""
    store.ensure(TOKENS)
    store.ensure(LIMITS)


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()

"""Named secrets of owners, encrypted with the operator's key; nobody but their owner's jobs can be given them."""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, Float, MetaData, String, Table, Text, delete, func, insert, select

from kilowait.core.errors import InputError
from kilowait.core.submission_limits import MAX_ENTRIES, MAX_ENVIRONMENT_BYTES, MAX_VARIABLE_BYTES
from kilowait.history.secrecy.sealing import opened, sealed
from kilowait.history.store import Store

NAME = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"
SECRETS = Table(
    "secrets",
    MetaData(),
    Column("owner", Text, primary_key=True),
    Column("name", String(100), primary_key=True),
    Column("sealed", Text, nullable=False),
    Column("set_s", Float(53), nullable=False),
)


def set_secret(store: Store, key_file: str, owner: str, name: str, value: str) -> None:
    """Keep a value under a name, in the place of an earlier one; raises InputError, which never shows the value."""
    if not re.fullmatch(NAME, name, re.ASCII) or name.startswith("KILOWAIT_"):
        raise InputError(f"secret {name[:60]!r}: no name of a variable that is free; give one as in HF_TOKEN")
    size = len(value.encode("utf-8", "replace"))
    if not 0 < size <= MAX_VARIABLE_BYTES or "\0" in value or _halves(value):
        raise InputError(f"secret {name}: give 1 to {MAX_VARIABLE_BYTES:,} bytes of whole characters, none of them NUL")
    token = sealed(key_file, _purpose(owner, name), value)
    store.ensure(SECRETS)
    mine, this = SECRETS.c.owner == owner, SECRETS.c.name == name
    with store.alone("written") as connection:
        connection.execute(delete(SECRETS).where(mine, this))
        if connection.execute(select(func.count()).select_from(SECRETS).where(mine)).scalar_one() >= MAX_ENTRIES:
            raise InputError(f"secret {name}: {MAX_ENTRIES} are there, the limit of one owner; remove one")
        connection.execute(insert(SECRETS).values(owner=owner, name=name, sealed=token, set_s=time.time()))


def secret_names(store: Store, owner: str) -> list[dict[str, Any]]:
    """The names of an owner's secrets, and since when each is as it is."""
    store.ensure(SECRETS)
    query = select(SECRETS.c.name, SECRETS.c.set_s).where(SECRETS.c.owner == owner).order_by(SECRETS.c.name)
    return [dict(row._mapping) for row in store.rows(query)]


def remove_secret(store: Store, owner: str, name: str) -> bool:
    """Forget a secret; whether there was one."""
    known = any(row["name"] == name for row in secret_names(store, owner))
    if known:
        store.change(delete(SECRETS).where(SECRETS.c.owner == owner, SECRETS.c.name == name))
    return known


def check_secrets(
    store: Store, key_file: str, owner: str, names: Sequence[str], environment: Mapping[str, str]
) -> None:
    """Raises InputError for a name under which this owner keeps nothing, and for more than one environment takes."""
    there = {row["name"] for row in secret_names(store, owner)} if names else set()
    if lacking := [name for name in names if name not in there]:
        raise InputError(f"secret {lacking[0][:100]!r}: none of yours; keep it first with: kilowait secret set NAME")
    check_room(environment, secret_values(store, key_file, owner, names))


def check_room(environment: Mapping[str, str], secrets: Mapping[str, str]) -> None:
    """Raises InputError where the variables and the secrets of a job are more than it can be started with."""
    variables = {**environment, **secrets}
    size = sum(len(text.encode()) for variable in variables.items() for text in variable)
    if size > MAX_ENVIRONMENT_BYTES:
        raise InputError(
            f"secrets: {len(secrets)} of them and the environment have {size:,} bytes in all, the limit is "
            f"{MAX_ENVIRONMENT_BYTES:,}; name fewer, or keep what is long in a file"
        )


def secret_values(store: Store, key_file: str, owner: str, names: Iterable[str]) -> dict[str, str]:
    """The values by name; raises InputError for one that is not there, and as `opened`."""
    store.ensure(SECRETS)
    query = select(SECRETS.c.name, SECRETS.c.sealed).where(SECRETS.c.owner == owner)
    tokens = {row.name: row.sealed for row in store.rows(query)}
    values = {}
    for name in names:
        if name not in tokens:
            raise InputError(f"its secret {name} is not there any more; keep it again with: kilowait secret set {name}")
        values[name] = opened(key_file, _purpose(owner, name), tokens[name])
    return values


def _purpose(owner: str, name: str) -> str:
    return f"secret/{name}/{owner}"


def _halves(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False

"""The register of corrections: what was learnt, and which one is in force, with every change of that and its reason.

Two tables beside the history, so that every replica finds them by the same URL; an older history gets them when they
are first asked for. A model is written once and never changed. Which one is in force follows from the log of changes
alone: a promotion puts a model on top of what was in force, a rollback takes the last one off again. A change is one
row, so it has happened or it has not, whenever a process is killed; of two at the same moment one is refused.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct
from sqlalchemy import (
    Boolean,
    Column,
    Float,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    insert,
    select,
    update,
)

from kilowait.core.errors import InputError, Superseded
from kilowait.history.schema import NUMBER
from kilowait.history.store import Store

_TABLES = MetaData()
MODELS = Table(
    "models",
    _TABLES,
    Column("version", String(12), primary_key=True),
    Column("base_version", String(200), nullable=False),
    Column("made_s", Float(53), nullable=False),
    Column("jobs", Integer, nullable=False),
    Column("newest_job", String(40), nullable=False),
    Column("newest_s", Float(53), nullable=False),
    Column("pretended", Boolean, nullable=False),
    Column("scores", Text, nullable=False),
    Column("description", Text, nullable=False),
    Column("tensors", LargeBinary),  # null once it was forgotten
)
CHANGES = Table(
    "model_changes",
    _TABLES,
    Column("seq", NUMBER, primary_key=True, autoincrement=False),
    Column("time_s", Float(53), nullable=False),
    Column("action", String(10), nullable=False),
    Column("version", String(12), nullable=False),
    Column("who", Text, nullable=False),
    Column("reason", Text, nullable=False),
)
KEPT = 10
"""So many of the newest candidates keep their tensors; all that were ever in force do."""
MAX_REASON = 500
"""Characters of a reason."""


class State(StrEnum):
    """Where a model stands."""

    CANDIDATE = "candidate"  # never in force
    CURRENT = "current"
    RETIRED = "retired"  # was in force


class Made(Struct, frozen=True, kw_only=True):
    """A model as it is written down. `jobs` measured jobs taught it, the newest of which ended at `newest_s`.

    `scores` says how it did beside what was in force, as the comparison wrote it.
    """

    version: str
    base_version: str
    made_s: float
    jobs: int
    newest_job: str
    newest_s: float
    pretended: bool
    scores: Mapping[str, Any]
    description: str
    tensors: bytes


class LearnedModel(Struct, frozen=True, kw_only=True):
    """A model as it is listed."""

    version: str
    base_version: str
    state: State
    made_s: float
    jobs: int
    newest_job: str
    newest_s: float
    pretended: bool
    scores: Mapping[str, Any]
    kept: bool


class Change(Struct, frozen=True, kw_only=True):
    """A change of what is in force: `version` was promoted, or was rolled back."""

    seq: int
    time_s: float
    action: str
    version: str
    who: str
    reason: str


def add(store: Store, made: Made) -> None:
    """Write a model down as a candidate; the same one again changes nothing. Old candidates lose their tensors."""
    _ensure(store)
    if not store.rows(select(MODELS.c.version).where(MODELS.c.version == made.version)):
        row = {**msgspec.structs.asdict(made), "scores": msgspec.json.encode(made.scores).decode()}
        store.change(insert(MODELS).values(**row))
    _forget(store)


def listed(store: Store) -> list[LearnedModel]:
    """Every model, the newest first."""
    _ensure(store)
    current_version, log_versions = current(store), {change.version for change in changes(store)}
    columns = [column for column in MODELS.c if column.name not in ("tensors", "description")]
    kept = MODELS.c.tensors.is_not(None).label("kept")
    rows = store.rows(select(*columns, kept).order_by(MODELS.c.made_s.desc(), MODELS.c.version))
    return [_model(dict(row._mapping), current_version, log_versions) for row in rows]


def current(store: Store) -> str | None:
    """The version that is in force, None where no model is."""
    stack = in_force(changes(store))
    return stack[-1] if stack else None


def changes(store: Store) -> list[Change]:
    """Every change of what is in force, the first first."""
    _ensure(store)
    return [Change(**row._mapping) for row in store.rows(select(CHANGES).order_by(CHANGES.c.seq))]


def in_force(log: Sequence[Change]) -> list[str]:
    """What each rollback would uncover, the last promoted and not rolled back last."""
    stack: list[str] = []
    for change in log:
        if change.action == "promote":
            stack.append(change.version)
        else:
            stack.pop()
    return stack


def parts(store: Store, version: str) -> tuple[str, bytes]:
    """Description and tensors of a model; raises InputError for one that is unknown or whose tensors are gone."""
    _ensure(store)
    rows = store.rows(select(MODELS.c.description, MODELS.c.tensors).where(MODELS.c.version == version))
    if not rows:
        raise InputError(f"model {version!r} is unknown; list them with: kilowait model list")
    if rows[0].tensors is None:
        raise InputError(f"model {version}: only what was said of it is kept; refit makes a new one")
    return rows[0].description, rows[0].tensors


def promote(store: Store, version: str, *, who: str, reason: str, now_s: float) -> Change:
    """Put a model in force; raises InputError for one that is unknown, forgotten or in force already.

    Nor does one learnt from pretended measurements take the place of one learnt from real ones.
    """
    parts(store, version)
    log, pretended = changes(store), {model.version: model.pretended for model in listed(store)}
    previous = in_force(log)[-1:]
    if previous == [version]:
        raise InputError(f"model {version} is in force already; nothing is changed")
    if previous and pretended[version] and not pretended[previous[0]]:
        raise InputError(
            f"model {version} was learnt from pretended measurements, {previous[0]} in force from real ones; "
            "roll that back first if this is a try-out"
        )
    return _change(store, log, "promote", version, who, reason, now_s)


def rollback(store: Store, *, who: str, reason: str, now_s: float) -> Change:
    """Take the model in force off again: what was in force before it is, the base predictions in the end.

    Raises InputError where no model is in force.
    """
    log = changes(store)
    stack = in_force(log)
    if not stack:
        raise InputError("no model is in force; predictions are those of the base already")
    return _change(store, log, "rollback", stack[-1], who, reason, now_s)


def _change(
    store: Store, log: Sequence[Change], action: str, version: str, who: str, reason: str, now_s: float
) -> Change:
    if not reason.strip() or len(reason) > MAX_REASON or not reason.isprintable():
        raise InputError(f"reason: must be printable and of 1 to {MAX_REASON} characters, got {reason[:80]!r}")
    seq = log[-1].seq + 1 if log else 1
    change = Change(seq=seq, time_s=now_s, action=action, version=version, who=who, reason=reason)
    try:
        store.change(insert(CHANGES).values(**msgspec.structs.asdict(change)))
    except Superseded as error:
        raise InputError(
            f"model {version}: not changed, somebody else changed what is in force at the same moment; "
            "look with kilowait model list and ask again"
        ) from error
    return change


def _model(row: Mapping[str, Any], current_version: str | None, log_versions: set[str]) -> LearnedModel:
    version = row["version"]
    other = State.RETIRED if version in log_versions else State.CANDIDATE
    state = State.CURRENT if version == current_version else other
    return LearnedModel(
        **{**row, "state": state, "scores": msgspec.json.decode(row["scores"]), "kept": bool(row["kept"])}
    )


def _forget(store: Store) -> None:
    """Candidates beyond the KEPT newest keep only what is said of them."""
    changed_versions = select(CHANGES.c.version)
    newest = (
        select(MODELS.c.version)
        .where(MODELS.c.version.not_in(changed_versions))
        .order_by(MODELS.c.made_s.desc())
        .limit(KEPT)
    )
    newest_versions = [row.version for row in store.rows(newest)]
    condition = (
        MODELS.c.version.not_in(changed_versions)
        & MODELS.c.version.not_in(newest_versions)
        & MODELS.c.tensors.is_not(None)
    )
    store.change(update(MODELS).where(condition).values(tensors=None, description=""))


def _ensure(store: Store) -> None:
    for table in (MODELS, CHANGES):
        store.ensure(table)

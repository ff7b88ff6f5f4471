"""What a prediction of a source was made from: the base predictions and the embedding, before any correction.

Kept beside the history by content hash, version of the base predictor and thousandths of GPUs, so that learning from
finished jobs computes nothing anew. A row is about 5 KB. A history that is older than this table gets it when it is
first asked for.
"""

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    and_,
    func,
    insert,
    select,
    update,
)

from kilowait.core.errors import StoreError, Superseded
from kilowait.core.jobs import Prediction
from kilowait.history.store import Store

BASES = Table(
    "predictions",
    MetaData(),
    Column("content_hash", String(64), primary_key=True),
    Column("base_version", String(200), primary_key=True),
    Column("milli", BigInteger, primary_key=True),  # thousandths of GPUs, all together
    Column("made_s", Float(53), nullable=False, index=True),
    Column("by_type", Text, nullable=False),
    Column("vector", LargeBinary, nullable=False),
)
PAGE = 500
"""Rows in one statement: databases limit its parameters."""
_decode = msgspec.json.Decoder(dict[str, Prediction]).decode


class Base(Struct, frozen=True, kw_only=True):
    """The base predictions by GPU type of a source for `milli` thousandths of GPUs, and its vector (d,) in float32."""

    content_hash: str
    base_version: str
    milli: int
    by_type: Mapping[str, Prediction]
    vector: NDArray[np.float32]


def keep(store: Store, bases: Sequence[Base], now_s: float) -> None:
    """Write them down, PAGE in a transaction; raises StoreError.

    A row that is there takes the newest predictions, and keeps those of types that the new ones lack: a correction is
    applied to what the base says now, so that is what it must have learnt from.
    """
    store.ensure(BASES)
    for start in range(0, len(bases), PAGE):
        _keep(store, bases[start : start + PAGE], now_s)


def _keep(store: Store, bases: Sequence[Base], now_s: float) -> None:
    new = {(base.content_hash, base.base_version, base.milli): base for base in bases}
    hashes = {base.content_hash for base in bases}
    key = (BASES.c.content_hash, BASES.c.base_version, BASES.c.milli)
    for row in store.rows(select(*key, BASES.c.by_type).where(BASES.c.content_hash.in_(hashes))):
        base = new.pop((row.content_hash, row.base_version, row.milli), None)
        if base is None:
            continue
        merged = _encoded({**_decode(row.by_type), **base.by_type})
        if merged != row.by_type:
            condition = and_(*(column == value for column, value in zip(key, row, strict=False)))
            store.change(update(BASES).where(condition).values(by_type=merged, made_s=now_s))
    if not new:
        return
    try:
        store.change(insert(BASES).values([_row(base, now_s) for base in new.values()]))
    except Superseded:  # another replica was first with one of them: the same, so look again
        _keep(store, list(new.values()), now_s)


def found(store: Store, base_version: str, content_hashes: Sequence[str]) -> dict[tuple[str, int], Base]:
    """By content hash and thousandths of GPUs, what `base_version` said of these sources; raises StoreError."""
    store.ensure(BASES)
    bases: dict[tuple[str, int], Base] = {}
    hashes = sorted(set(content_hashes))
    for start in range(0, len(hashes), PAGE):
        query = select(BASES).where(BASES.c.base_version == base_version)
        for row in store.rows(query.where(BASES.c.content_hash.in_(hashes[start : start + PAGE]))):
            try:
                bases[row.content_hash, row.milli] = Base(
                    content_hash=row.content_hash,
                    base_version=base_version,
                    milli=row.milli,
                    by_type=_decode(row.by_type),
                    vector=np.frombuffer(row.vector, dtype="<f4"),
                )
            except (msgspec.DecodeError, ValueError) as error:
                raise StoreError(
                    f"{store.name}: the base prediction of {row.content_hash} cannot be read: {error}; "
                    "use the release that wrote it"
                ) from error
    return bases


def newest_version(store: Store) -> str | None:
    """The base version of the newest row, None where there is none."""
    store.ensure(BASES)
    newest = select(func.max(BASES.c.made_s)).scalar_subquery()
    rows = store.rows(select(BASES.c.base_version).where(BASES.c.made_s == newest).limit(1))
    return rows[0].base_version if rows else None


def _encoded(by_type: Mapping[str, Prediction]) -> str:
    return msgspec.json.encode(by_type, order="sorted").decode()


def _row(base: Base, now_s: float) -> dict[str, object]:
    return {
        "content_hash": base.content_hash,
        "base_version": base.base_version,
        "milli": base.milli,
        "made_s": now_s,
        "by_type": _encoded(base.by_type),
        "vector": base.vector.astype("<f4").tobytes(),
    }

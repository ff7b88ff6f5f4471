"""States that the log led to, written down beside it, so that a restart replays only what came after.

A state is nothing but a shortcut: what cannot be used (made by another release, damaged, of another log) is passed over
and the log replayed. It is written in pieces, each a short transaction of its own so that the scheduler's are not kept
waiting, and last of all the row that makes them count. Two tables beside the history's own: an older history gets them
when they are first asked for.
"""

import hashlib
import logging
import zlib
from collections.abc import Mapping, Sequence

import msgspec
from sqlalchemy import Column, Float, Integer, LargeBinary, MetaData, String, Table, Text, delete, select
from sqlalchemy import insert as insert_into

from kilowait.history.schema import EVENTS, NUMBER
from kilowait.history.store import Store

_TABLES = MetaData()
STATES = Table(
    "saved_states",
    _TABLES,
    Column("seq", NUMBER, primary_key=True, autoincrement=False),
    Column("made_s", Float(53), nullable=False),
    Column("layout", String(64), nullable=False),
    Column("event_hash", String(64), nullable=False),
    Column("hashes", Text, nullable=False),
)
PIECES = Table(
    "saved_pieces",
    _TABLES,
    Column("seq", NUMBER, primary_key=True, autoincrement=False),
    Column("part", String(20), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("data", LargeBinary, nullable=False),
)
KEPT = 2
"""So many of the newest states are kept."""
PIECE_BYTES = 1 << 20

_log = logging.getLogger(__name__)


def keep(store: Store, seq: int, layout: str, parts: Mapping[str, bytes], now_s: float) -> None:
    """Write down by name the parts of the state after event number `seq`; older states are forgotten.

    Raises StoreError, Superseded where another process writes the same one.
    """
    _ensure(store)
    for table in (STATES, PIECES):  # one that nobody could use, or whose writer was killed
        store.change(delete(table).where(table.c.seq == seq))
    hashes = {part: _written(store, seq, part, zlib.compress(data, 1)) for part, data in parts.items()}
    row = {"seq": seq, "made_s": now_s, "layout": layout, "event_hash": _event_hash(store, seq)}
    store.change(insert_into(STATES).values(**row, hashes=msgspec.json.encode(hashes).decode()))
    _forget(store)


def newest(store: Store, layout: str, names: Sequence[str]) -> tuple[int, dict[str, bytes]] | None:
    """The number of the event that the newest usable state of this layout stands behind, and these parts of it.

    None where there is none; raises StoreError where the history cannot be read.
    """
    _ensure(store)
    for row in store.rows(select(STATES).order_by(STATES.c.seq.desc())):
        if row.layout != layout:
            _log.info("%s: the state saved at event %d is another release's", store.name, row.seq)
        elif row.event_hash != _event_hash(store, row.seq):
            _log.warning("%s: the state saved at event %d is of another log", store.name, row.seq)
        elif (parts := _read(store, row.seq, row.hashes, names)) is not None:
            return row.seq, parts
        else:
            _log.warning("%s: the state saved at event %d is damaged", store.name, row.seq)
    return None


def events_since(store: Store, layout: str) -> int:
    """How many events there are behind the newest state of this layout, or in all."""
    _ensure(store)
    newest_seq = store.rows(
        select(STATES.c.seq).where(STATES.c.layout == layout).order_by(STATES.c.seq.desc()).limit(1)
    )
    last_seq = store.rows(select(EVENTS.c.seq).order_by(EVENTS.c.seq.desc()).limit(1))
    return (last_seq[0].seq if last_seq else 0) - (newest_seq[0].seq if newest_seq else 0)


def _written(store: Store, seq: int, part: str, data: bytes) -> str:
    """Write the pieces of a part; returns its checksum."""
    for number, start in enumerate(range(0, len(data), PIECE_BYTES)):
        piece = {"seq": seq, "part": part, "number": number, "data": data[start : start + PIECE_BYTES]}
        store.change(insert_into(PIECES).values(**piece))
    return hashlib.sha256(data).hexdigest()


def _read(store: Store, seq: int, hashes_text: str, names: Sequence[str]) -> dict[str, bytes] | None:
    """The parts of these names as they were given; None where one is missing or not what was written."""
    try:
        hashes, parts = msgspec.json.decode(hashes_text, type=dict[str, str]), dict[str, bytes]()
    except msgspec.DecodeError:
        return None
    for part in names:
        query = select(PIECES.c.data).where(PIECES.c.seq == seq, PIECES.c.part == part).order_by(PIECES.c.number)
        data = b"".join(row.data for row in store.rows(query))
        if hashlib.sha256(data).hexdigest() != hashes.get(part):
            return None
        parts[part] = zlib.decompress(data)
    return parts


def _event_hash(store: Store, seq: int) -> str:
    """What tells this log from another: the event that the state stands behind; "" where it is not there."""
    rows = store.rows(select(EVENTS.c.payload).where(EVENTS.c.seq == seq))
    return hashlib.sha256(rows[0].payload.encode()).hexdigest() if rows else ""


def _forget(store: Store) -> None:
    """Leave the KEPT newest states, and no pieces that belong to none of them and are older."""
    kept = [row.seq for row in store.rows(select(STATES.c.seq).order_by(STATES.c.seq.desc()).limit(KEPT))]
    store.change(delete(STATES).where(STATES.c.seq < min(kept)))
    store.change(delete(PIECES).where(PIECES.c.seq < max(kept), PIECES.c.seq.not_in(kept)))


def _ensure(store: Store) -> None:
    for table in (STATES, PIECES):
        store.ensure(table)

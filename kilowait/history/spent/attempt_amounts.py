"""What attempts came to by the signals of a cluster: carbon, water, the price of electricity."""

from collections.abc import Iterable, Mapping

import msgspec
from sqlalchemy import func, select

from kilowait.cluster.events import SignalReported
from kilowait.core.jobs import Provenance
from kilowait.core.over_time.amounts import Amount, Reported
from kilowait.history.schema import ATTEMPT_AMOUNTS, EVENTS, SIGNAL_REPORTS
from kilowait.history.statements import chunks
from kilowait.history.store import Store

_decode = msgspec.json.Decoder(SignalReported).decode


def make_tables(store: Store) -> None:
    """Make the tables of signals where there are none."""
    store.ensure(SIGNAL_REPORTS)
    store.ensure(ATTEMPT_AMOUNTS)


def reports_between(store: Store, name: str, from_s: float, until_s: float) -> list[Reported]:
    """What was reported of a signal between two times, and what was in force at the first of them; in order."""
    table = SIGNAL_REPORTS.c
    before = select(func.max(table.seq)).where(table.name == name, table.time_s <= from_s).scalar_subquery()
    query = select(EVENTS.c.payload).join(SIGNAL_REPORTS, table.seq == EVENTS.c.seq)
    query = query.where(table.name == name, table.time_s <= until_s, table.seq >= func.coalesce(before, 0))
    events = [_decode(row.payload) for row in store.rows(query.order_by(table.seq))]
    return [Reported(event.time_s, event.signal) for event in events]


def amounts_of(store: Store, job_ids: Iterable[str]) -> dict[tuple[str, int], dict[str, Amount]]:
    """By job id and attempt, what it came to by the name of each signal; those without any are left out."""
    make_tables(store)
    found: dict[tuple[str, int], dict[str, Amount]] = {}
    for chunk in chunks(list(job_ids)):
        for row in store.rows(select(ATTEMPT_AMOUNTS).where(ATTEMPT_AMOUNTS.c.job_id.in_(chunk))):
            one = Amount(name=row.name, value=row.value, provenance=Provenance(row.provenance))
            found.setdefault((row.job_id, row.attempt), {})[row.name] = one
    return found


AMOUNT_COLUMNS = {"carbon": ("carbon_g", "carbon_provenance"), "water": ("water_l", "water_provenance")} | {
    "price": ("electricity_usd", "electricity_provenance")
}
"""By signal, the columns of `kilowait.files.columns.HISTORY` with an amount and how it was had."""


def amount_columns(amounts: Mapping[str, Amount]) -> dict[str, float | str | None]:
    """The columns of one attempt."""
    row: dict[str, float | str | None] = {}
    for name, (value, provenance) in AMOUNT_COLUMNS.items():
        one = amounts.get(name)
        row[value], row[provenance] = (None, None) if one is None else (one.value, one.provenance.value)
    return row

"""What an attempt came to by the signals of its cluster, as they were reported by its end."""

from kilowait.cluster.state import Cluster
from kilowait.core.over_time.amounts import AMOUNTS, Amount, amount
from kilowait.core.submission import Ending
from kilowait.core.units import JOULES_PER_KWH
from kilowait.history.spent.attempt_amounts import make_tables, reports_between
from kilowait.history.store import Store


def spent(store: Store, cluster: Cluster, ending: Ending, end_s: float) -> list[Amount]:
    """Measured energy, spread evenly over the measured seconds before `end_s`, by each signal that is of a kWh."""
    measured, names = ending.measurement, [name for name in AMOUNTS if name in cluster.signals]
    if measured is None or not names:
        return []
    make_tables(store)
    energy_kwh, span = measured.energy_j / JOULES_PER_KWH, (end_s - measured.runtime_s, end_s)
    found = (
        amount(name, reports_between(store, name, *span), energy_kwh, measured.energy_provenance, span)
        for name in names
    )
    return [one for one in found if one is not None]

"""An operator's order as the event that makes it hold."""

from kilowait.cluster.events import MaintenanceSet, NodesReserved, QuotaSet, SignalReported
from kilowait.core.maintenance import Maintenance, NodeReservation, checked_maintenance, checked_reservation
from kilowait.core.over_time.signals import Signal
from kilowait.core.quotas import Quota, checked_quota

Order = Quota | Maintenance | NodeReservation | Signal
"""Takes the place of what was ordered before of the same name or node."""


def order_event(order: Order, time_s: float) -> QuotaSet | MaintenanceSet | NodesReserved | SignalReported:
    """From now on it holds; raises InputError for one that cannot."""
    if isinstance(order, Signal):
        return SignalReported(time_s=time_s, signal=order)
    if isinstance(order, Quota):
        return QuotaSet(time_s=time_s, quota=checked_quota(order))
    if isinstance(order, NodeReservation):
        return NodesReserved(time_s=time_s, reservation=checked_reservation(order))
    return MaintenanceSet(time_s=time_s, maintenance=checked_maintenance(order))

"""An operator's order as the event that makes it hold."""

from kilowait.cluster.events import MaintenanceSet, QuotaSet
from kilowait.core.maintenance import Maintenance, checked_maintenance
from kilowait.core.quotas import Quota, checked_quota

Order = Quota | Maintenance
"""Takes the place of what was ordered before of the same project, rule or node."""


def order_event(order: Order, time_s: float) -> QuotaSet | MaintenanceSet:
    """From now on it holds; raises InputError for one that cannot."""
    if isinstance(order, Quota):
        return QuotaSet(time_s=time_s, quota=checked_quota(order))
    return MaintenanceSet(time_s=time_s, maintenance=checked_maintenance(order))

"""Maintenance as time passes: a node drains when it begins, and has jobs again when it is over; so reservations end."""

from collections.abc import Collection

from msgspec.structs import replace

from kilowait.live.controller import Controller


def keep_maintenance(controller: Controller, now_s: float, leaving: Collection[str] = ()) -> None:
    """Drain and undrain the nodes whose time it is; those that are `leaving`, or drained before, drain on."""
    cluster = controller.cluster
    for node, one in list(cluster.maintenance.items()):
        if one.ends_s <= now_s:
            end_maintenance(controller, node, now_s)
            if node in cluster.draining and node not in leaving and not one.stays_drained:
                controller.node_undrained(node, now_s)
        elif one.begins_s <= now_s and node not in cluster.draining:
            controller.node_drained(node, now_s)
    for reservation in list(cluster.reservations.values()):
        if reservation.ends_s <= now_s:
            controller.ordered(reservation, now_s)


def end_maintenance(controller: Controller, node: str, now_s: float) -> None:
    """There is none of a node any more, if there was."""
    if (one := controller.cluster.maintenance.get(node)) is not None:
        over_s = min(one.ends_s, now_s)
        controller.ordered(replace(one, begins_s=min(one.begins_s, over_s), ends_s=over_s), now_s)

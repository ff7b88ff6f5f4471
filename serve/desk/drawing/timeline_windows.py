"""Maintenance and reservations of nodes, as a timeline shows them."""

from collections.abc import Sequence

from kilowait.cluster.state import Cluster
from kilowait.report.board_rows import Row

from ...wire.timeline_schemas import NodeWindowView


def window_views(
    cluster: Cluster, rows: Sequence[Row], since_s: float, until_s: float, now_s: float
) -> list[NodeWindowView]:
    """What has not ended and begins before `until_s`, on the rows of its nodes, the first to begin first."""
    planned: list[tuple[float, float, tuple[str, ...], str, str]] = [
        (one.begins_s, one.ends_s, (one.node,), "maintenance", one.reason) for one in cluster.maintenance.values()
    ]
    planned += [
        (one.begins_s, one.ends_s, one.nodes, f"reserved for {_whom(one.users, one.projects)}", one.reason)
        for one in cluster.reservations.values()
    ]
    return [
        NodeWindowView(
            rows=own,
            begins_s=begins_s,
            ends_s=ends_s,
            said=f"{what}: {reason}" if reason else what,
        )
        for begins_s, ends_s, nodes, what, reason in sorted(planned)
        if begins_s < until_s and ends_s > max(since_s, now_s) and (own := _rows_of(nodes, rows))
    ]


def _rows_of(nodes: Sequence[str], rows: Sequence[Row]) -> list[int]:
    return [number for number, (_, node, _) in enumerate(rows) if node in nodes]


def _whom(users: Sequence[str], projects: Sequence[str]) -> str:
    return ", ".join([*users, *(f"project {name}" for name in projects)])

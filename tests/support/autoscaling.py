"""Ray's own autoscaler, asked which groups it would start."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ray.autoscaler._private.node_provider_availability_tracker import NodeAvailabilitySummary
from ray.autoscaler._private.resource_demand_scheduler import _default_utilization_scorer, get_nodes_for

from serve.scheduler.ray_nodes import TYPE_RESOURCE


def started(groups: Mapping[str, Any], head: str, ray_type: str, gpus: int) -> dict[str, int]:
    """As `started_for`, for so many boards of a type in Ray's words."""
    return started_for(groups, head, [{"GPU": 1, f"{TYPE_RESOURCE}{ray_type}": 0.001}] * gpus)


def started_for(groups: Mapping[str, Any], head: str, asked: Sequence[Mapping[str, float]]) -> dict[str, int]:
    """Nodes by group that it starts, with nothing there but the head, for bundles of resources."""
    scorer = partial(_default_utilization_scorer, node_availability_summary=NodeAvailabilitySummary({}))
    nodes, left = get_nodes_for(dict(groups), {head: 1}, head, 10, list(asked), scorer)
    assert left == [], "some boards find no group"
    return dict(nodes)

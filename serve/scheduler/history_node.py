"""Where a process runs that reads and writes the history: with SQLite on the node that holds the file."""

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy


def on_history_node(url: str) -> dict[str, Any]:
    """Ray's options for it, asked for on that node itself."""
    if url.startswith("postgresql"):
        return {}
    node_id = ray.get_runtime_context().get_node_id()
    return {"scheduling_strategy": NodeAffinitySchedulingStrategy(node_id, soft=False)}

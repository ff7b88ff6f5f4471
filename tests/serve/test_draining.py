"""A node that an operator drained is shown as one that drains, though Ray knows nothing of it."""

import pytest

from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from serve.scheduler.ray_nodes import SeenNode
from tests.support.desk_world import DeskWorld


@pytest.fixture
def world(tmp_path):
    with DeskWorld(tmp_path) as world:
        live = Controller(Store(world.url), simple(), order=("A100",))
        for node in ("n1", "n2"):
            live.node_joined(node, "A100", 1, 1.0)
        live.node_drained("n1", 2.0)
        live.store.close()
        world.status["nodes"] = [seen("n1"), seen("n2")]
        yield world


def seen(node):
    common = {"address": "10.0.0.1", "gpu_type": "A100", "gpus": 1, "taken": 0.0}
    return SeenNode(node=node, draining=False, problem=None, **common)


def test_an_operators_drain_is_shown(world):
    nodes = world.call("GET", "/v1/cluster", "reader").json()["nodes"]
    assert {node["node"]: node["draining"] for node in nodes} == {"n1": True, "n2": False}

"""What an operator drains is shown as that, though Ray knows nothing of it, and takes jobs again when told so."""

import asyncio
import threading

import pytest

from kilowait.core.errors import IllegalEvent
from kilowait.core.submission import Ending
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from serve.scheduler import ray_nodes
from serve.scheduler.ray_nodes import NodeFollower, SeenNode
from tests.support.desk_world import DeskWorld
from tests.support.live_world import request


@pytest.fixture
def live(tmp_path):
    live = Controller(Store(f"sqlite:///{tmp_path}/kilowait.db"), simple(), order=("A",))
    for node in ("n1", "n2"):
        live.node_joined(node, "A", 1, 1.0)
    yield live
    live.store.close()


@pytest.fixture
def follower(live):
    follower = NodeFollower(live)
    follower.nodes = {node: as_ray_shows(node) for node in ("n1", "n2")}
    return follower


@pytest.fixture
def world(tmp_path, live, follower):
    with DeskWorld(tmp_path) as world:
        world.status["nodes"] = list(follower.nodes.values())
        world.scheduler.drain, world.scheduler.undrain = Asked(follower.drain), Asked(follower.undrain)
        yield world


class Asked:
    """A method of the scheduler, at a later time with each call."""

    def __init__(self, method):
        self.method, self.time_s = method, 2.0

    async def remote(self, node):
        self.time_s += 1.0
        self.method(node, self.time_s)


def as_ray_shows(node, gpu_type="A100", taken=0.0, *, draining=False):
    common = {"address": "10.0.0.1", "gpu_type": gpu_type, "gpus": 1, "taken": taken}
    return SeenNode(node=node, draining=draining, problem=None, **common)


def shown(answer):
    return {node["node"]: node["draining"] for node in answer.json()["nodes"]}


def test_an_operators_drain_is_shown_and_so_is_its_end(world):
    drained = world.call("POST", "/v1/nodes/n1/drain", "operator")
    assert (drained.status_code, shown(drained)) == (202, {"n1": True, "n2": False})
    assert shown(world.call("GET", "/v1/cluster", "reader")) == {"n1": True, "n2": False}
    ended = world.call("POST", "/v1/nodes/n1/undrain", "operator")
    assert (ended.status_code, shown(ended)) == (202, {"n1": False, "n2": False})
    assert shown(world.call("GET", "/v1/cluster", "reader")) == {"n1": False, "n2": False}


def test_asking_again_changes_nothing_and_a_node_that_is_not_there_is_named(world, live):
    for word in ("drain", "undrain"):
        answers = [world.call("POST", f"/v1/nodes/n1/{word}", "operator").status_code for _ in range(2)]
        assert answers == [202, 202]
        missing = world.call("POST", f"/v1/nodes/n9/{word}", "operator")
        assert (missing.status_code, "node n9" in missing.json()["detail"]) == (409, True)
    assert [type(event).__name__ for _, event in live.store.events()][2:] == ["NodeDrained", "NodeUndrained"]


@pytest.mark.parametrize("who", ["reader", "ada"])
@pytest.mark.parametrize("word", ["drain", "undrain"])
def test_it_is_for_operators(world, who, word):
    assert world.call("POST", f"/v1/nodes/n1/{word}", who).status_code == 403


def test_jobs_go_there_again_after_a_restart_too(live, follower):
    live.submit(request("first"), 2.0)
    live.decide(3.0)
    follower.drain("n2", 4.0)
    live.submit(request("second"), 5.0)
    assert live.decide(6.0) == []
    follower.undrain("n2", 7.0)
    again = Controller(live.store, simple(), order=("A",))
    assert [(held.node, held.gpus) for (attempt,) in [again.decide(8.0)] for held in attempt.where] == [("n2", 1)]


def test_what_ray_itself_drains_does_not_come_back(follower):
    follower.drain("n1", 2.0)
    follower.nodes["n1"] = as_ray_shows("n1", draining=True)
    with pytest.raises(IllegalEvent, match="node n1: Ray itself drains it"):
        follower.undrain("n1", 3.0)


def looked(follower, monkeypatch, meanwhile, seen):
    """Look once, with something that happens on the event loop between Ray's being asked and its answer."""
    asked, went_on, waited = threading.Event(), threading.Event(), []

    def slow():
        asked.set()
        waited.append(went_on.wait(60.0))
        return seen

    async def look():
        looking = asyncio.create_task(follower.look(lambda: 9.0))
        await asyncio.to_thread(asked.wait)
        meanwhile()
        went_on.set()  # which nobody could do while the event loop was held
        return await looking

    monkeypatch.setattr(ray_nodes, "see_nodes", slow)
    lost = asyncio.run(look())
    assert waited == [True]
    return lost


def test_the_scheduler_goes_on_while_ray_is_slow_to_say_its_nodes(live, follower, monkeypatch):
    seen = {"n1": as_ray_shows("n1")}
    assert looked(follower, monkeypatch, lambda: live.submit(request("meanwhile"), 8.0), seen) == []
    assert [type(event).__name__ for _, event in live.store.events()][2:] == ["JobSubmitted", "NodeLost"]


def test_gpus_of_jobs_that_end_while_ray_is_asked_are_not_those_of_others(live, follower, monkeypatch):
    for job_id in ("first", "second"):  # two looks that agree are believed
        live.submit(request(job_id), 8.0)
        (attempt,) = live.decide(8.0)
        taken = {node: as_ray_shows(node, "A", float(node == attempt.where[0].node)) for node in ("n1", "n2")}
        ended = (attempt.job_id, attempt.attempt, attempt.token, Ending(reason="it failed"), 8.0)
        looked(follower, monkeypatch, lambda ended=ended: live.attempt_finished(*ended), taken)
    assert not any(live.cluster.held.values())

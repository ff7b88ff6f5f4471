"""Beside a decision that takes its time, everything else goes on; what it places is checked when it answers."""

import asyncio
import threading
import time

import pytest

from kilowait.cluster.advance import replay
from kilowait.cluster.events import JobPlaced
from kilowait.core.submission import Ending
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.decisions import Place
from kilowait.policies.value import value
from serve.scheduler.decision_loop import DecisionLoop
from tests.support.live_world import request, seen

ON_A = {"predictions": seen(A=(10, 1))}


class Gated:
    """A policy that has decided at once, and answers when it is let."""

    def __init__(self):
        self.asked, self.free = threading.Event(), threading.Event()
        self._value = value(kappa=0.0)

    def __call__(self, cluster):
        decisions = self._value(cluster)
        self.asked.set()
        assert self.free.wait(30)
        return decisions


class World:
    """A controller with three GPUs A on three nodes, and its decisions."""

    def __init__(self, folder, policy, nodes=3):
        self.url = f"sqlite:///{folder}/kilowait.db"
        self.live, self.tended = Controller(Store(self.url), policy, order=("A",)), []
        for number in range(nodes):
            self.live.node_joined(f"n{number}", "A", 1, time.time())
        self.loop = DecisionLoop(self.live, 600.0, self.tended.append)

    def placed(self):
        return [event.job_id for _, event in Store(self.url).events() if isinstance(event, JobPlaced)]


async def begun(world, policy):
    task = asyncio.create_task(world.loop.decide())
    await asyncio.to_thread(policy.asked.wait, 30)
    return task


def test_submissions_cancels_ends_and_nodes_go_on_while_a_decision_is_under_way(tmp_path):
    async def scenario():
        policy = Gated()
        world = World(tmp_path, policy)
        live = world.live
        policy.free.set()
        live.submit(request("running", **ON_A), time.time())
        (running,) = await world.loop.decide()
        jobs = [live.submit(request(f"key-{n}", **ON_A), time.time()) for n in range(2)]
        policy.asked.clear(), policy.free.clear()
        task = await begun(world, policy)  # it wants to place both
        late = live.submit(request("late", **ON_A), time.time())
        assert live.cancel(jobs[0], time.time()) is None
        live.attempt_started(running.job_id, running.attempt, running.token, time.time())
        live.attempt_finished(running.job_id, running.attempt, running.token, Ending(), time.time())
        assert not task.done()
        policy.free.set()
        assert [attempt.job_id for attempt in await task] == [jobs[1]]  # the other was cancelled
        assert [attempt.job_id for attempt in await world.loop.decide()] == [late]
        assert await world.loop.decide() == []
        assert world.placed() == [running.job_id, jobs[1], late]
        _replays_to_the_same(world)

    asyncio.run(scenario())


def test_nothing_is_placed_on_a_node_that_was_lost_meanwhile(tmp_path):
    async def scenario():
        policy = Gated()
        world = World(tmp_path, policy, nodes=2)
        for n in range(2):
            world.live.submit(request(f"key-{n}", **ON_A), time.time())
        task = await begun(world, policy)
        world.live.node_lost("n0", "gone", time.time())
        policy.free.set()
        (attempt,) = await task
        assert [held.node for held in attempt.where] == ["n1"]
        assert await world.loop.decide() == []
        _replays_to_the_same(world)

    asyncio.run(scenario())


def test_a_decision_that_was_begun_before_the_log_was_replayed_is_checked_too(tmp_path):
    async def scenario():
        policy = Gated()
        world = World(tmp_path, policy, nodes=1)
        first = world.live.submit(request("first", **ON_A), time.time())
        task = await begun(world, policy)
        world.live._torn = True  # as after a write that failed
        second = world.live.submit(request("second", **ON_A), time.time())
        policy.free.set()
        assert [attempt.job_id for attempt in await task] == [first]
        assert await world.loop.decide() == []
        assert second in world.live.cluster.waiting

    asyncio.run(scenario())


def test_a_policy_that_fails_is_asked_again_on_the_state_as_it_is_then(tmp_path):
    answers = []

    def failing(cluster):
        answers.append(set(cluster.waiting))
        if len(answers) == 1:
            raise RuntimeError("no answer")
        return [Place(job_id=job_id, gpu_type="A") for job_id in sorted(cluster.waiting)[:1]]

    async def scenario():
        world = World(tmp_path, failing, nodes=1)
        first = world.live.submit(request("first", **ON_A), time.time())
        with pytest.raises(RuntimeError, match="no answer"):
            await world.loop.decide()
        second = world.live.submit(request("second", **ON_A), time.time())
        assert [attempt.job_id for attempt in await world.loop.decide()] == [first]
        assert answers == [{first}, {first, second}]

    asyncio.run(scenario())


def _replays_to_the_same(world):
    again = replay((event for _, event in Store(world.url).events()), ("A",))
    assert again.snapshot().active == world.live.cluster.snapshot().active
    assert again.snapshot().waiting == world.live.cluster.snapshot().waiting

"""What administrators of a project may do, and quotas that several people change at once."""

import asyncio
from unittest.mock import Mock

import pytest

from kilowait.core.quotas import Quota
from kilowait.history.store import Store
from kilowait.history.tokens import Identity, Role
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from serve.api.job_lists import _meant
from serve.api.quota_routes import remove_member
from serve.wire.list_schemas import ToCancel
from tests.support.live_world import request


def test_of_two_members_who_leave_at_once_none_stays():
    quotas = {"vision": Quota(name="vision", members=("ada", "bob", "cy"), gpus=4, admins=("dan",))}

    async def order(quota):
        await asyncio.sleep(0)  # the scheduler is another process
        quotas[quota.name] = quota

    async def mirror():
        return Mock(cluster=Mock(quotas=dict(quotas)))

    async def leave():
        desk = Mock(mirror=mirror, quota_changes=asyncio.Lock())
        desk.scheduler.order.remote = order
        dan = Identity(token_id="t", owner="dan", role=Role.SUBMIT)
        await asyncio.gather(*(remove_member("vision", member, desk, dan) for member in ("ada", "bob")))

    asyncio.run(leave())
    assert quotas["vision"].members == ("cy",)


@pytest.fixture
def store(tmp_path):
    """Jobs of ada, bob and cy, in this order."""
    controller = Controller(Store(f"sqlite:///{tmp_path}/kilowait.db"), simple(), order=("A",))
    controller.node_joined("n", "A", 1, 0.0)
    controller.store.ids = [controller.submit(request(f"k{user}", user=user), 1.0) for user in ("ada", "bob", "cy")]
    yield controller.store
    controller.store.close()


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ({"job_ids": [0, 1, 2]}, [0, 1]),
        ({"owner": "ada"}, [0]),
        ({"every": True}, [1]),
        ({"owner": "cy"}, []),  # and not bob's own
        ({"owner": "cy", "every": True}, []),
    ],
)
def test_an_administrator_ends_members_jobs_and_those_of_nobody_else(store, asked, meant):
    async def ask(question, *words):
        return question(store, *words)

    bob = Identity(token_id="t", owner="bob", role=Role.SUBMIT, administers=frozenset({"ada"}))
    named = {"job_ids": [store.ids[n] for n in asked["job_ids"]]} if "job_ids" in asked else {}
    found = asyncio.run(_meant(ToCancel(**asked | named), Mock(ask=ask), bob))
    assert found == [store.ids[n] for n in meant]

"""Wrong tokens are slowed, each longer than the one before; right ones never are."""

import asyncio

import pytest

from serve.api.wrong_tokens import MOST_HELD, WrongTokens
from tests.support.desk_world import DeskWorld


class Clock:
    def __init__(self):
        self.now_s, self.slept = 0.0, []

    async def sleep(self, seconds):
        self.slept.append(seconds)


def given(clock, *addresses):
    wrong = WrongTokens(lambda: clock.now_s, clock.sleep)

    async def give():
        return [await wrong.slowed(address) for address in addresses]

    return wrong, asyncio.run(give())


def test_each_wrong_token_of_an_address_waits_twice_as_long_as_the_one_before():
    clock = Clock()
    wrong, refusals = given(clock, *["a"] * 8, "b")
    assert clock.slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 0.1]
    assert {refusal.status for refusal in refusals} == {401}
    clock.now_s = 61.0
    asyncio.run(wrong.slowed("a"))
    assert clock.slept[-1] == 0.1


def test_only_so_many_answers_are_held_back_at_once():
    async def give():
        held = asyncio.Event()
        wrong = WrongTokens(sleep=lambda _: held.wait())
        tasks = [asyncio.create_task(wrong.slowed(f"address {n}")) for n in range(MOST_HELD + 3)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        answered = [task.result() for task in tasks if task.done()]
        held.set()
        await asyncio.gather(*tasks)
        return answered

    answered = asyncio.run(give())
    assert [refusal.status for refusal in answered] == [429] * 3
    assert all(refusal.retry_s for refusal in answered)


@pytest.fixture
def world(tmp_path):
    with DeskWorld(tmp_path) as world:
        yield world


def test_a_right_token_is_answered_at_once_among_wrong_ones_of_its_address(world):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    world.client.app.state.wrong_tokens = WrongTokens(sleep=sleep)
    world.tokens["guess"] = "kw_000000000000_guess"
    for _ in range(5):
        assert world.call("GET", "/v1/tokens", "guess").status_code == 401
        assert world.call("GET", "/v1/tokens", "operator").status_code == 200
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.6]


def test_the_last_operators_token_stays_unless_it_is_forced(world):
    token_id = world.tokens["operator"].split("_")[1]
    refusal = world.call("DELETE", f"/v1/tokens/{token_id}", "operator")
    assert (refusal.status_code, "--force" in refusal.json()["remedy"]) == (422, True)
    assert world.call("DELETE", f"/v1/tokens/{token_id}?force=true", "operator").status_code == 204
    assert world.call("GET", "/v1/tokens", "operator").status_code == 401

"""Submissions that wait at the same time go to the scheduler in one call, and each gets its own answer."""

import asyncio

import pytest

from kilowait.core.errors import JobRefused
from serve.desk import submitting
from serve.desk.submitting import Submissions
from tests.support.live_world import request


class Scheduler:
    """An actor that answers when it is told to; `calls` are the keys of each call."""

    def __init__(self):
        self.calls, self.open, self.fails = [], asyncio.Event(), None
        self.submit_all = self

    async def remote(self, requests):
        self.calls.append([one.client_key for one in requests])
        await self.open.wait()
        if self.fails is not None:
            raise self.fails
        return [
            JobRefused(f"job {r.client_key}: no") if r.client_key == "bad" else f"job-{r.client_key}" for r in requests
        ]


async def started(submissions, keys):
    tasks = [asyncio.create_task(submissions.submit(request(key))) for key in keys]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


def test_those_that_come_while_one_is_under_way_go_together_with_the_next():
    async def run():
        scheduler = Scheduler()
        submissions = Submissions(scheduler)
        first = await started(submissions, ["a"])
        rest = await started(submissions, ["b", "bad", "c"])
        scheduler.open.set()
        answers = await asyncio.gather(*first, *rest, return_exceptions=True)
        return scheduler.calls, answers

    calls, answers = asyncio.run(run())
    assert calls == [["a"], ["b", "bad", "c"]]
    assert [answers[n] for n in (0, 1, 3)] == ["job-a", "job-b", "job-c"]
    assert isinstance(answers[2], JobRefused)


def test_no_call_is_larger_than_the_most(monkeypatch):
    monkeypatch.setattr(submitting, "MOST", 2)

    async def run():
        scheduler = Scheduler()
        submissions = Submissions(scheduler)
        tasks = await started(submissions, "abcde")
        scheduler.open.set()
        return scheduler.calls, await asyncio.gather(*tasks)

    calls, answers = asyncio.run(run())
    assert sorted(map(len, calls)) == [1, 2, 2]
    assert answers == [f"job-{key}" for key in "abcde"]


def test_a_call_that_fails_is_told_to_each_and_the_next_goes_on():
    async def run():
        scheduler = Scheduler()
        submissions = Submissions(scheduler)
        scheduler.open.set()
        scheduler.fails = ConnectionError("the actor died")
        tasks = await started(submissions, "ab")
        failed = await asyncio.gather(*tasks, return_exceptions=True)
        scheduler.fails = None
        return failed, await submissions.submit(request("c"))

    failed, after = asyncio.run(run())
    assert [str(error) for error in failed] == ["the actor died"] * 2
    assert after == "job-c"


def test_one_who_goes_away_does_not_hold_up_the_others():
    async def run():
        scheduler = Scheduler()
        submissions = Submissions(scheduler)
        gone, stays = await started(submissions, "ab")
        gone.cancel()
        await asyncio.sleep(0)
        scheduler.open.set()
        with pytest.raises(asyncio.CancelledError):
            await gone
        return await stays

    assert asyncio.run(run()) == "job-b"

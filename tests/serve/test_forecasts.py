"""Predictions under load, without Ray: whose turn it is, who is sent away, what is told late, and what health hears."""

import asyncio

import pytest

from kilowait.program.job_source import JobSource
from serve.desk import forecasts as module
from serve.desk.forecasts import Forecasts
from serve.desk.predictor_replica import PredictionQuestion, Told
from serve.desk.turns import Turns
from serve.wire.problems import Refusal


class Predictor:
    """A deployment that answers a question when it is let go; `asked` are the texts in the order they came."""

    def __init__(self):
        self.asked, self.answers = [], {}
        self.predict = self

    def remote(self, question):
        text = question.source.files["m.py"].decode()
        self.asked.append(text)
        self.answers[text] = asyncio.get_running_loop().create_future()
        return self.answers[text]

    def answer(self, text):
        told = Told(version="v", predictions={}, vector=None, memory={}, dry_run="whole")
        self.answers[text].set_result(told)


def question(text):
    return PredictionQuestion(source=JobSource(files={"m.py": text.encode()}, entrypoint="m.py"))


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


def test_owners_take_turns_and_none_has_more_than_its_share_at_once():
    async def run():
        turns, begun, go_on = Turns(at_once=3, each=2, room=100), [], asyncio.Event()

        async def work(owner, number):
            async with turns.of(owner):
                begun.append(f"{owner}{number}")
                await go_on.wait()

        tasks = [asyncio.create_task(work("a", n)) for n in range(5)]
        await settle()
        assert begun == ["a0", "a1"]
        tasks += [asyncio.create_task(work(owner, 0)) for owner in "bcd"]
        await settle()
        assert begun == ["a0", "a1", "b0"]
        go_on.set()
        await asyncio.gather(*tasks)
        assert begun.index("c0") < begun.index("a3")
        assert begun.index("d0") < begun.index("a4")
        assert turns.others("a") == 0

    asyncio.run(run())


def test_one_who_asks_too_much_is_sent_away_and_no_other():
    async def run():
        turns, go_on = Turns(at_once=1, each=1, room=2), asyncio.Event()

        async def work(owner):
            async with turns.of(owner):
                await go_on.wait()

        tasks = [asyncio.create_task(work("a")) for _ in range(3)]
        await settle()
        with pytest.raises(Refusal, match="more predictions"):
            await work("a")
        other = asyncio.create_task(work("b"))
        await settle()
        tasks[1].cancel()
        go_on.set()
        await asyncio.gather(*tasks, other, return_exceptions=True)
        assert turns.others("nobody") == 0

    asyncio.run(run())


def test_those_who_go_while_they_wait_leave_their_turn_to_others():
    async def run():
        turns, go_on = Turns(at_once=1, each=1, room=10), asyncio.Event()

        async def work(owner):
            async with turns.of(owner):
                await go_on.wait()

        tasks = [asyncio.create_task(work(owner)) for owner in "abc"]
        await settle()
        go_on.set()
        tasks[1].cancel()  # and in the same moment the first has done
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 60)
        assert [task.cancelled() for task in tasks] == [False, True, False]
        assert turns.others("nobody") == 0

    asyncio.run(run())


def test_behind_another_owners_source_nothing_is_told_in_time_and_the_answer_is_kept_for_later(monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", 0.01)

    async def run():
        predictor = Predictor()
        forecasts = Forecasts(predictor, room=10, alone_s=300.0)
        slow = asyncio.create_task(forecasts.of(question("slow"), "a"))
        await settle()
        assert await forecasts.of(question("quick"), "b") is None
        assert predictor.asked == ["slow", "quick"]
        predictor.answer("quick")
        await settle()
        told, remembered = await forecasts.of(question("quick"), "b")
        assert (told.version, remembered) == ("v", True)
        assert not slow.done()  # its owner alone waits for it
        predictor.answer("slow")
        assert (await slow)[1] is False

    asyncio.run(run())


def test_one_source_has_a_budget_of_time_though_nobody_else_asks():
    async def run():
        assert await Forecasts(Predictor(), room=10, alone_s=0.01).of(question("slow"), "a") is None

    asyncio.run(run())


def test_a_predictor_that_answers_nothing_is_noticed_with_the_time_since_when(monkeypatch):
    async def run():
        now_s = 1000.0
        predictor = Predictor()
        forecasts = Forecasts(predictor, room=10, alone_s=0.01, now=lambda: now_s)
        forecasts.well = True
        assert forecasts.problem() is None
        await forecasts.of(question("slow"), "a")
        now_s = 1000.0 + module.SILENT_S - 1
        assert forecasts.problem() is None
        now_s = 1000.0 + module.SILENT_S + 1
        assert forecasts.problem() == "no answer since 1970-01-01T00:16:40Z; 1 sources wait for it"
        predictor.answer("slow")
        await settle()
        assert forecasts.problem() is None

    asyncio.run(run())

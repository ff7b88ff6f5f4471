"""A job that is accepted with a guess, and its prediction that follows: over the real desk and history, without Ray."""

import asyncio
from unittest.mock import Mock

import numpy as np
import pytest

from kilowait.client import service_text
from kilowait.core.errors import SourceError
from kilowait.core.submission import Ending
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.sjf import sjf
from serve.api.routes import explain, show
from serve.desk import following as module
from serve.desk.desk import Desk
from serve.desk.forecasts import Forecasts
from serve.desk.predictor_replica import Told
from serve.scheduler.settings import SchedulerSettings
from serve.wire.problems import Refusal
from serve.wire.schemas import SourceBody, SubmissionBody
from tests.support.live_world import seen

pytestmark = pytest.mark.ray

TRUE = seen(A100=(50, 0.5), A6000=(5, 0.1))
PYTHON = "/opt/envs/vision/bin/python"
WHO = Mock(owner="ada", role=2)

FOUND = "whole, 20 optimizer steps; assumed: MNIST train has 60,000 images (catalogue); missing: flash_attn, 12 times"


class World:
    """One A100 and one A6000, a desk over the history, and a predictor that answers when it is let go."""

    def __init__(self, folder):
        self.url = f"sqlite:///{folder}/kilowait.db"
        self.controller = Controller(Store(self.url), sjf(), order=("A100", "A6000"))
        for node, gpu_type in (("n1", "A100"), ("n2", "A6000")):
            self.controller.node_joined(node, gpu_type, 1, 0.0)
        self.now_s = 1.0
        self.asked, self.pythons, self.answer = [], [], asyncio.Event()
        self.outcome = Told(version="v", predictions=TRUE, vector=np.zeros(2, np.float32), memory={}, dry_run=FOUND)
        self.desk = self.new_desk()

    def new_desk(self):
        scheduler = Mock()
        scheduler.status.remote = self._status
        scheduler.submit_all.remote = self._submit_all
        scheduler.predicted.remote = self._predicted
        scheduler.power.remote = self._power
        predictor = self.predictor = Mock()
        predictor.predict.remote = self._predict
        return Desk(scheduler, Forecasts(predictor, room=100, alone_s=0.01), software={"vision": PYTHON})

    async def _status(self):
        return {"settings": SchedulerSettings(url=self.url, policy="sjf", policy_options={})}

    async def _power(self):
        return {}

    async def _submit_all(self, requests):
        return self.controller.submit_all(requests, self.tick())

    async def _predicted(self, job_id, by_type, problem, dry_run):
        self.controller.predicted(job_id, by_type, problem, self.tick(), dry_run)

    async def _predict(self, question):
        self.asked.append(question.source.content_hash)
        self.pythons.append(None if question.access.interpreter is None else question.access.interpreter.command[0])
        await self.answer.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def tick(self):
        self.now_s += 1.0
        return self.now_s

    async def submit(self, source="print(1)", **more):
        answer = await self.desk.submit(SubmissionBody(source=source, **more), "ada", None)
        assert {one.features for one in answer.by_type.values()} == {"unread+standin"}
        assert any("its prediction follows" in text for text in answer.warnings)
        return answer.job_id

    async def settled(self, desk=None):
        """Look, and wait until nobody is followed any more."""
        desk = desk or self.desk
        await desk.following.look()
        while desk.following._tasks:
            await asyncio.sleep(0.01)

    async def said(self, job_id):
        """(features in force on A100, what is said) by the job's view; the answer to why says the same."""
        view = await show(job_id, self.desk, WHO)
        why = await explain(job_id, self.desk, WHO)
        assert (why.prediction, why.dry_run) == (view.prediction, view.dry_run)
        return view.by_type["A100"].features, view.prediction


def run(tmp_path, scenario):
    async def inside():
        world = World(tmp_path)
        try:
            await scenario(world)
        finally:
            world.controller.store.close()
            if world.desk._store is not None:
                world.desk._store.close()

    asyncio.run(inside())


def test_a_waiting_job_is_placed_by_the_prediction_that_follows(tmp_path):
    async def scenario(world):
        job_id = await world.submit()
        assert await world.said(job_id) == ("unread+standin", "a guess; its prediction follows")
        world.answer.set()
        await world.settled()
        features, said = await world.said(job_id)
        assert features == ""
        assert (await explain(job_id, world.desk, WHO)).dry_run == FOUND
        assert said.startswith("a guess until 1970-01-01T00:00:0")
        assert said.endswith("its prediction from then on")
        (attempt,) = world.controller.decide(world.tick())
        assert attempt.gpu_type == "A6000"  # by the guess it would be the A100
        await world.settled()
        assert len(world.asked) == 1

    run(tmp_path, scenario)


@pytest.mark.parametrize("over", [False, True])
def test_one_that_comes_too_late_is_said_not_to_be_used(tmp_path, over):
    async def scenario(world):
        job_id = await world.submit()
        await world.desk.following.look()
        (attempt,) = world.controller.decide(world.tick())
        assert attempt.gpu_type == "A100"
        if over:
            world.controller.attempt_finished(job_id, 1, attempt.token, Ending(exit_code=0), world.tick())
        world.answer.set()
        await world.settled()
        features, said = await world.said(job_id)
        assert features == "unread+standin"
        assert "after it had been placed, and was not used" in said

    run(tmp_path, scenario)


def test_a_program_that_cannot_be_predicted_keeps_its_guess_and_says_why(tmp_path):
    async def scenario(world):
        job_id = await world.submit()
        world.outcome = SourceError("main.py: no text worth predicting")
        world.answer.set()
        await world.settled()
        assert await world.said(job_id) == (
            "unread+standin",
            "a guess, and stays one: main.py: no text worth predicting",
        )
        asked = len(world.asked)
        await world.settled()
        assert len(world.asked) == asked  # not again

    run(tmp_path, scenario)


def test_a_predictor_that_fails_is_asked_again_and_then_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "AGAIN_S", 0.0)

    async def scenario(world):
        job_id = await world.submit()
        world.outcome = RuntimeError("a fault")
        world.answer.set()
        await world.settled()
        assert (await world.said(job_id))[1] == "a guess, and stays one: the predictor failed 3 times"

    run(tmp_path, scenario)


def test_a_service_that_starts_anew_goes_on_with_what_the_log_says(tmp_path):
    async def scenario(world):
        job_id = await world.submit()
        world.answer.set()
        successor = world.new_desk()
        await world.settled(successor)
        assert (await world.said(job_id))[0] == ""
        successor._store.close()

    run(tmp_path, scenario)


@pytest.mark.parametrize("anew", [False, True])
def test_a_prediction_that_follows_is_made_in_the_jobs_software(tmp_path, anew):
    async def scenario(world):
        await world.submit(software="vision")
        await world.submit("print(2)")
        world.answer.set()
        desk = world.new_desk() if anew else world.desk
        world.pythons.clear() if anew else None
        await world.settled(desk)
        assert set(world.pythons) == {PYTHON, None}
        assert len(world.pythons) == 2
        desk._store.close() if anew else None

    run(tmp_path, scenario)


def test_what_is_only_predicted_has_its_software_and_its_variables_too(tmp_path):
    async def scenario(world):
        world.answer.set()
        world.desk = Desk(world.desk.scheduler, Forecasts(world.predictor, room=100), software={"vision": PYTHON})
        plain = await world.desk.predict(SourceBody(source="print(1)"), "ada")
        asked = SourceBody(source="print(1)", software="vision", environment={"BATCH": "8"})
        answer = await world.desk.predict(asked, "ada")
        assert world.pythons == [None, PYTHON]
        assert answer.content_hash != plain.content_hash  # variables are part of the source
        with pytest.raises(Refusal, match="no software environment"):
            await world.desk.predict(SourceBody(source="print(1)", software="/usr/bin/python3"), "ada")

    run(tmp_path, scenario)


def test_one_user_does_not_take_all_the_room(tmp_path):
    async def scenario(world):
        for n in range(module.EACH + 3):
            await world.submit(f"print({n})")
        await world.desk.following.look()
        assert len(world.desk.following._tasks) == module.EACH
        world.answer.set()
        while (await world.desk.mirror()).guessed:
            await world.settled()

    run(tmp_path, scenario)


def test_what_was_assumed_is_a_line_each_for_who_asks_why(tmp_path):
    async def scenario(world):
        world.answer.set()
        job_id = (await world.desk.submit(SubmissionBody(source="print(1)"), "ada", None)).job_id
        text = service_text.why((await explain(job_id, world.desk, WHO)).model_dump(mode="json"))
        assert "  dry run: whole, 20 optimizer steps\n    assumed: MNIST train has 60,000 images (catalogue)\n" in text
        assert "    missing: flash_attn, 12 times\n" in text

    run(tmp_path, scenario)

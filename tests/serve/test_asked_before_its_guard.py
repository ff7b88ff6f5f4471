"""What a runner is asked before its job's guard is there, and what stays of an attempt that was lost."""

import asyncio
import signal
import tempfile
import threading
import time
from pathlib import Path

import msgspec
import pytest

from kilowait.core.checkpoints.checkpointing import Checkpointing
from kilowait.core.submission import Program
from kilowait.isolation.modes import IsolationSettings
from kilowait.live.job_outputs import OutputSettings, OutputStore
from serve.environments import built_environments
from serve.environments.built_environments import BuiltEnvironments, EnvironmentSettings
from serve.runner import preparing
from serve.runner.runner import Runner
from tests.support.pretended_node import ATTEMPT, pretend_node

pytestmark = pytest.mark.ray

SLEEPS = Program(
    files={"main.py": "import time; time.sleep(600)"}, entrypoint="main.py", checkpointing=Checkpointing(grace_s=300.0)
)


@pytest.fixture(autouse=True)
def node(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    pretend_node(monkeypatch)


def runner_of(attempt=ATTEMPT, environments=None):
    return Runner(attempt, 0, 300.0, IsolationSettings(mode="none"), OutputSettings(), environments)


async def until(what):
    deadline_s = time.monotonic() + 300
    while not what():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.02)


@pytest.mark.parametrize(("asked", "preempted"), [(("preempt",), True), (("preempt", "stop"), False)])
def test_what_was_asked_while_its_files_were_written_is_passed_on(monkeypatch, asked, preempted):
    """The program has set up nothing for its signal yet, so that ends it."""
    begun, go, order = threading.Event(), threading.Event(), preparing.Preparation.order

    def slow(*arguments):
        begun.set()
        go.wait(300)
        return order(*arguments)

    monkeypatch.setattr(preparing.Preparation, "order", slow)

    async def use():
        runner = runner_of()
        run = asyncio.create_task(runner.run(SLEEPS, {}))
        await until(begun.is_set)
        for name in asked:
            await getattr(runner, name)()
        go.set()
        return await asyncio.wait_for(run, 300)

    ending = asyncio.run(use())
    assert (ending.preempted, ending.checkpointed, ending.exit_code) == (preempted, False, -signal.SIGTERM)
    assert ending.reason == ("preempted" if preempted else "stopped")


def test_one_that_is_preempted_before_it_runs_starts_nothing():
    async def use():
        runner = runner_of()
        await runner.preempt()
        return await runner.run(SLEEPS, {})

    ending = asyncio.run(use())
    assert (ending.reason, ending.preempted, ending.measurement) == ("preempted", True, None)


@pytest.mark.parametrize(
    ("name", "reason"),
    [("stop", "it was not started: it was asked to end before its environment stood"), ("preempt", "preempted")],
)
def test_one_whose_environment_is_being_built_gives_its_gpus_back(monkeypatch, tmp_path, name, reason):
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\nexec sleep 1000\n")
    uv.chmod(0o755)
    monkeypatch.setattr(built_environments, "uv_program", lambda: str(uv))
    settings = EnvironmentSettings(folder=str(tmp_path / "kept"))
    python = BuiltEnvironments(settings).python_for(("one",))
    program = msgspec.structs.replace(SLEEPS, python=python, requirements=("one",))

    async def use():
        runner = runner_of(environments=settings)
        run = asyncio.create_task(runner.run(program, {}))
        await until((tmp_path / "begun").exists)
        await getattr(runner, name)()
        return await asyncio.wait_for(run, 300)

    ending = asyncio.run(use())
    assert (ending.reason, ending.preempted) == (reason, name == "preempt")


def test_one_that_is_cut_off_leaves_no_files_and_nothing_that_runs_elsewhere(monkeypatch, tmp_path):
    confine, begun = preparing.confine, tmp_path / "begun"

    def with_container(*arguments, **more):
        confinement, place = confine(*arguments, **more)
        return msgspec.structs.replace(confinement, after=("touch", str(tmp_path / "removed"))), place

    monkeypatch.setattr(preparing, "confine", with_container)
    text = f"open({str(begun)!r}, 'w'); import time; time.sleep(600)"
    program = msgspec.structs.replace(SLEEPS, files={"main.py": text})

    async def use():
        runner = runner_of()
        run = asyncio.create_task(runner.run(program, {}))
        await until(lambda: run.done() or begun.exists())
        await runner.go_on(0.0)
        with pytest.raises(RuntimeError, match="not heard of in time"):
            await asyncio.wait_for(run, 300)

    asyncio.run(use())
    assert (tmp_path / "removed").exists()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_checkpoint_that_cannot_be_read_now_is_no_failure_of_the_program(monkeypatch, tmp_path):
    def unreachable(*_):
        raise OSError("no answer")

    monkeypatch.setattr(OutputStore, "restore", unreachable)
    attempt = msgspec.structs.replace(ATTEMPT, attempt=2)
    ending = asyncio.run(runner_of(attempt).run(SLEEPS, {}))
    assert ending.lost
    assert "its checkpoint cannot be read" in ending.reason
    assert list(Path(tmp_path / "temporary").iterdir()) == []

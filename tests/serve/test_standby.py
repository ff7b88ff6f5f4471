"""A standby takes over from a scheduler that is killed or stuck: nothing is lost, and nothing runs twice."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest

from kilowait.core.submission import Attempt, Program
from kilowait.history.store import Store
from kilowait.isolation.modes import IsolationSettings
from kilowait.live.job_outputs import OutputSettings
from serve.runner import preparing
from serve.runner import runner as module
from serve.runner.runner import Runner

pytestmark = [pytest.mark.ray, pytest.mark.timeout(120)]

LEASE_S = 3.0
ROOT = Path(__file__).parents[2]


class Process:
    """A scheduler of its own, see `tests.support.waiting_scheduler`."""

    def __init__(self, url, cluster):
        command = [sys.executable, "-m", "tests.support.waiting_scheduler", url, cluster, str(LEASE_S)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, **pipes)

    def told(self, line):
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def says(self):
        return self.process.stdout.readline().strip()


@pytest.fixture
def processes(database_server):
    found = [Process(database_server, cluster) for cluster in ("first", "second", "third")]
    yield found
    for one in found:
        one.process.kill()
        one.process.wait()
        for pipe in (one.process.stdin, one.process.stdout):
            pipe.close()


def test_a_standby_takes_over_from_a_stuck_scheduler_and_another_from_a_killed_one(processes, database_server, closed):
    first, second, third = processes
    first.told("begin")
    assert first.says() == "has it"
    first.told("runs")
    (_, job_id, attempt) = first.says().split()
    assert attempt == "1"
    first.told("waits for the GPU")
    store = Store(database_server)
    while len(store.jobs()) < 2:
        time.sleep(0.1)
    store.close()
    second.told("begin")
    assert second.says() == "waits"
    first.process.send_signal(signal.SIGSTOP)
    began_s = time.monotonic()
    assert second.says() == "has it"
    assert time.monotonic() - began_s < LEASE_S + 10.0
    assert second.says() == f"started {job_id} 2"
    first.process.send_signal(signal.SIGCONT)
    assert first.says() == "superseded"  # it writes nothing any more
    assert first.process.wait(60) == 3
    third.told("begin")
    assert third.says() == "waits"
    second.process.kill()
    assert third.says() == "has it"
    assert third.says() == f"started {job_id} 3"
    store = Store(database_server)
    ran, waits = store.jobs()
    assert (ran["state"], waits["state"]) == ("running", "waiting")
    assert [row["reason"] for row in store.attempts(job_id)] == ["its cluster is gone", "its cluster is gone", None]
    assert store.attempts(waits["job_id"]) == []


@pytest.fixture
def node(monkeypatch):
    ids = Mock(get_accelerator_ids=lambda: {"GPU": ["0"]})
    monkeypatch.setattr(module.ray, "get_runtime_context", lambda: ids)
    monkeypatch.setattr(preparing, "gpus_of_this_node", lambda: 1.0)


TICKS = """
import sys, time
while True:
    open(sys.argv[1], "a").write(f"{time.time()}\\n")
    time.sleep(0.05)
"""


def test_a_job_runs_on_while_its_scheduler_says_so_and_is_killed_once_it_does_not(node, tmp_path):
    attempt = Attempt(job_id="job-1", attempt=1, token=1, gpu_type="A100", gpu_milli=1000, where=(), placed_s=0.0)
    ticks = tmp_path / "ticks"
    program = Program(files={"main.py": TICKS}, entrypoint="main.py", arguments=(str(ticks),))

    async def seen():
        runner = Runner(attempt, 0, 0.1, IsolationSettings(mode="none"), OutputSettings())
        run = asyncio.create_task(runner.run(program, {}))
        while not ticks.exists():
            await asyncio.sleep(0.05)
        await runner.go_on(time.time() + 0.5)
        await runner.go_on(until_s := time.time() + 1.5)
        with pytest.raises(RuntimeError, match="not heard of in time"):
            await run
        return until_s

    until_s = asyncio.run(seen())
    *_, last_s = map(float, ticks.read_text().split())
    assert until_s - 1.0 < last_s < until_s + 1.0
    time.sleep(0.3)
    assert max(map(float, ticks.read_text().split())) == last_s


def test_a_job_that_is_told_too_late_does_not_begin(node, tmp_path):
    attempt = Attempt(job_id="job-1", attempt=1, token=1, gpu_type="A100", gpu_milli=1000, where=(), placed_s=0.0)
    program = Program(files={"main.py": TICKS}, entrypoint="main.py", arguments=(str(tmp_path / "ticks"),))

    async def seen():
        runner = Runner(attempt, 0, 0.1, IsolationSettings(mode="none"), OutputSettings())
        await runner.go_on(time.time() - 1.0)
        await asyncio.sleep(0.01)
        with pytest.raises(RuntimeError, match="not heard of in time"):
            await runner.run(program, {})

    asyncio.run(seen())
    assert not (tmp_path / "ticks").exists()

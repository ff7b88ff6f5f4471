"""A guard that neither answers nor ends is killed by its runner, and the attempt ends with that reason."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from kilowait.core.submission import Program
from kilowait.isolation.modes import IsolationSettings
from kilowait.live.job_outputs import OutputSettings
from serve.runner import runner as module
from serve.runner.runner import Runner
from tests.support.pretended_node import ATTEMPT, pretend_node

pytestmark = pytest.mark.ray

TEXT = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
open({path!r}, "w").write(f"{{os.getppid()}} {{os.getpid()}} {{child.pid}}")
time.sleep(600)
"""


@pytest.fixture
def node(monkeypatch):
    pretend_node(monkeypatch)


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


async def until(what):
    deadline_s = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0.02)


async def paused(path, timeout_s, *, stop):
    """The ending of a job whose guard is stopped by SIGSTOP once the job runs, and the three processes."""
    runner = Runner(ATTEMPT, 0, 0.1, IsolationSettings(mode="none"), OutputSettings())
    program = Program(files={"main.py": TEXT.format(path=str(path))}, entrypoint="main.py", timeout_s=timeout_s)
    run = asyncio.create_task(runner.run(program, {}))
    await until(lambda: run.done() or (path.exists() and len(path.read_text().split()) == 3))
    pids = [int(word) for word in path.read_text().split()]
    os.kill(pids[0], signal.SIGSTOP)
    if stop:
        await runner.stop()
    ending = await asyncio.wait_for(run, 120)
    await until(lambda: all(map(is_gone, pids)))
    return ending


@pytest.mark.parametrize(("timeout_s", "stop"), [(2.0, False), (None, True), (1e6, True)])
def test_a_guard_that_is_silent_beyond_its_time_is_killed_with_all_that_it_started(
    node, monkeypatch, tmp_path, timeout_s, stop
):
    monkeypatch.setattr(module, "MARGIN_S", 0.5)
    ending = asyncio.run(paused(tmp_path / "pids", timeout_s, stop=stop))
    assert "guard" in ending.reason
    assert "neither answered nor ended" in ending.reason
    assert ending.exit_code == -signal.SIGKILL
    assert not ending.lost  # it ran: where nothing else is asked for it is not tried again


def test_a_guard_in_time_is_heard(node, monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MARGIN_S", 60.0)
    program = Program(files={"main.py": "import time; time.sleep(60)"}, entrypoint="main.py", timeout_s=0.5)
    ending = asyncio.run(Runner(ATTEMPT, 0, 0.1, IsolationSettings(mode="none"), OutputSettings()).run(program, {}))
    assert ending.reason == "timeout after 0.5 s"

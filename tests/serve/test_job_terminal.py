"""A job with a terminal, under its guard and beside its runner's end of it, without Ray."""

import asyncio
import os
import signal
import subprocess
import sys
import tty

import msgspec
import pytest

from kilowait.isolation.job_room import JobRoom
from kilowait.isolation.modes import room_refusal
from kilowait.measure.confinement import Confinement
from kilowait.measure.joblog import read_log
from kilowait.measure.outcome import RunOutcome
from kilowait.measure.ward import WardOrder
from serve.shells import job_terminal
from serve.shells.job_terminal import Terminal
from tests.support.wards import ROOT

UID = 2_000_001


class Session:
    """A shell under a guard; `typed` gives what it shows until a text is there."""

    def __init__(self, folder, kind):
        for name in ("scratch", "tmp", "log"):
            (folder / name).mkdir()
        self.log = folder / "log"
        self.terminal = Terminal(self.log, 600.0)
        confinement = None
        if kind == "uid":
            confinement = Confinement(name="shell", uid=UID)
        if kind == "room":
            inside = JobRoom(folder=str(folder / "scratch"), temporary=str(folder / "tmp"), uid=UID)
            confinement = Confinement(name="shell", room=inside)
        order = WardOrder(
            command=("/bin/bash", "--norc", "-i"),
            environment={"PATH": "/usr/bin:/bin", "TERM": "xterm", "PS1": "$ "},
            folder=str(folder / "scratch"),
            log_folder=str(self.log),
            log_bytes=1 << 16,
            confinement=confinement,
            terminal=self.terminal.fds,
        )
        self.ward = subprocess.Popen(
            [sys.executable, "-m", "kilowait.measure.ward"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)},
            pass_fds=order.terminal,
        )
        self.terminal.hand_over()
        self.ward.stdin.write(msgspec.json.encode(order) + b"\n")
        self.ward.stdin.flush()

    async def typed(self, keys, until):
        """What was shown in all, once `until` is in it."""
        await self.terminal.type_in(keys)
        shown = read_log(self.log)[1]
        while until not in shown:
            await asyncio.wait_for(self.terminal.changed(len(shown), 300), 300)
            shown = read_log(self.log)[1]
        return shown

    def ended(self):
        """How it ended."""
        outcome = RunOutcome.from_json(self.ward.stdout.readline().decode())
        self.ward.communicate()
        self.terminal.close()
        return outcome


ROOT_ALONE = pytest.mark.skipif(os.getuid() != 0, reason="only root may become other users")
KINDS = [
    "plain",
    pytest.param("uid", marks=ROOT_ALONE),
    pytest.param("room", marks=pytest.mark.skipif(room_refusal() is not None, reason=str(room_refusal()))),
]


@pytest.fixture(params=KINDS)
def session(request, tmp_path):
    return Session(tmp_path, request.param)


def test_keys_go_in_signals_are_for_what_runs_and_the_size_is_told(session):
    async def use():
        session.terminal.resize(33, 77)
        assert b"33 77" in await session.typed(b"stty size\n", b"33 77")
        await session.typed(b"sh -c 'echo sleeps-$((6*7)); exec sleep 1000'\n", b"sleeps-42")
        await session.typed(b"\x03", b"^C")  # ends the sleep and not the shell
        assert b"alive-42" in await session.typed(b"\necho alive-$((6*7))\n", b"alive-42")
        await session.typed(b"sleep 1000 &\njobs\n", b"Running")  # it controls its jobs
        await session.terminal.type_in(b"exit 7\nexit 7\n")

    asyncio.run(use())
    assert session.ended().exit_code == 7


@ROOT_ALONE
def test_the_terminal_is_the_users_that_it_runs_as(tmp_path):
    session = Session(tmp_path, "uid")

    async def use():
        shown = await session.typed(b'id -u; [ -w "$(tty)" ] && : > /dev/tty && echo mine-$((6*7))\n', b"mine-42")
        assert str(UID).encode() in shown
        await session.terminal.type_in(b"exit\n")

    asyncio.run(use())
    assert session.ended().exit_code == 0


def test_the_end_of_input_ends_it_and_all_that_it_started(session):
    async def use():
        await session.typed(b"setsid sleep 98765 & echo begun-$((6*7))\n", b"begun-42")
        await session.terminal.type_in(b"\x04")

    asyncio.run(use())
    assert session.ended().failure is None
    assert subprocess.run(["pgrep", "-f", "sleep 98765"], stdout=subprocess.DEVNULL).returncode == 1


def test_it_is_hung_up_when_it_is_asked_to_end(session):
    asyncio.run(session.typed(b"echo here-$((6*7))\n", b"here-42"))
    session.ward.stdin.write(b"stop\n")
    session.ward.stdin.flush()
    outcome = session.ended()
    assert (outcome.failure, outcome.exit_code) == ("stopped", -signal.SIGHUP)


class Clock:
    """A clock on which sleeping takes no time; at given times something is written to the log, or somebody looks."""

    def __init__(self):
        self.now_s, self.at = 1000.0, {}

    def monotonic(self):
        return self.now_s

    async def sleep(self, seconds):
        self.now_s += seconds
        for at_s in [at_s for at_s in self.at if at_s <= self.now_s]:
            self.at.pop(at_s)()


@pytest.mark.parametrize(
    ("looked_s", "written_s", "typed_s", "idle_s"),
    [
        ((), (), (), 10.0),
        ((3.0,), (), (), 13.0),  # somebody came
        ((3.0,), (7.0,), (), 17.0),  # and was there when something was shown
        ((), (7.0,), (), 10.0),  # nobody saw it
        ((3.0,), (12.0, 21.0, 30.0), (), 40.0),
        ((), (), (9.0,), 19.0),
    ],
)
def test_it_is_idle_once_nothing_happens_and_what_nobody_sees_is_nothing(
    tmp_path, monkeypatch, looked_s, written_s, typed_s, idle_s
):
    clock = Clock()
    monkeypatch.setattr(job_terminal, "time", clock)
    shell = Terminal(tmp_path, 10.0)
    monkeypatch.setattr(job_terminal.asyncio, "sleep", clock.sleep)
    clock.at = {
        **{1000.0 + at_s: lambda: finished(shell.changed(0, 0)) for at_s in looked_s},
        **{1000.0 + at_s: lambda: write(tmp_path) for at_s in written_s},
        **{1000.0 + at_s: lambda: finished(shell.type_in(b"k")) for at_s in typed_s},
    }
    finished(shell.until_idle())
    shell.hand_over()
    shell.close()
    assert clock.now_s == pytest.approx(1000.0 + idle_s)


def test_whoever_waits_for_more_is_let_go_once_it_is_over(tmp_path):
    shell = Terminal(tmp_path, 600.0)
    shell.hand_over()

    async def wait():
        waiting = asyncio.ensure_future(shell.changed(0, 1e6))
        await asyncio.sleep(0)
        shell.close()
        await asyncio.wait_for(waiting, 300)

    asyncio.run(wait())


def finished(coroutine):
    """Run what waits for nothing but the clock."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration:
            return


def write(folder):
    with (folder / f"{0:016d}.log").open("ab") as file:
        file.write(b"tick\n")


def test_a_program_that_reads_slowly_gets_all_that_is_typed(tmp_path, monkeypatch):
    clock, read = Clock(), []
    monkeypatch.setattr(job_terminal, "time", clock)
    shell = Terminal(tmp_path, 600.0)
    tty.setraw(shell.near)

    async def sleep(seconds):
        read.append(os.read(shell.near, 500))
        await clock.sleep(1.0)

    monkeypatch.setattr(job_terminal.asyncio, "sleep", sleep)
    finished(shell.type_in(b"x" * 40_000))
    assert clock.now_s > 1000.0 + 2 * job_terminal.STUCK_S
    shell.hand_over()
    shell.close()


def test_keys_that_nobody_reads_go_nowhere_once_it_is_over(tmp_path):
    """The next file that is opened has the number of the terminal."""
    terminal = Terminal(tmp_path, 600.0)
    number = terminal.fds[0]

    async def use():
        typing = asyncio.ensure_future(terminal.type_in(b"x" * 1_000_000))
        await asyncio.sleep(0)
        terminal.close()
        other = os.memfd_create("other")
        await typing
        return other

    other = asyncio.run(use())
    assert (other, os.fstat(other).st_size) == (number, 0)
    os.close(other)
    os.close(terminal.near)

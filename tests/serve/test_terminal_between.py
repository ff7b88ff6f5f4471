"""What is answered of a shell's terminal while there is none, and to whom."""

import asyncio
from types import SimpleNamespace

import msgspec
import pytest

from kilowait.core.submission import Program
from kilowait.history.tokens import Identity, Role
from serve.shells import shell_desk
from serve.shells.shell_desk import ShellDesk
from serve.shells.shell_schemas import TypedKeys
from serve.wire.problems import Refusal

pytestmark = pytest.mark.ray

SHELL = Program(files={"shell": ""}, entrypoint="shell", idle_s=60.0)
JOB = Program(files={"m.py": ""}, entrypoint="m.py")


def who(owner, **more):
    return Identity(token_id="t", owner=owner, role=Role.SUBMIT, **more)


def desk_with(program=SHELL, state="waiting"):
    row = {"owner": "ada", "program": msgspec.json.encode(program), "state": state, "attempts": []}

    async def ask(*_):
        return row

    return ShellDesk(SimpleNamespace(ask=ask))


def test_who_waits_for_a_terminal_that_is_not_there_is_not_answered_at_once(monkeypatch):
    """Its runner is being made, or has died and the scheduler does not know yet: whoever reads asks again at once."""
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    monkeypatch.setattr(shell_desk.asyncio, "sleep", sleep)
    piece = asyncio.run(desk_with().shown(who("ada"), "job-1", 7, 20.0))
    assert (piece.next, piece.text, piece.ended, sum(slept) > 0) == (7, "", False, True)


@pytest.mark.parametrize(
    ("asks", "program"),
    [
        (who("bob"), SHELL),
        (who("boss", administers=frozenset({"ada"})), SHELL),
        (Identity(token_id="t", owner="operator", role=Role.OPERATE), SHELL),
        (who("ada"), JOB),
    ],
)
def test_nobody_but_its_owner_gets_to_a_terminal_and_a_job_without_one_has_none(asks, program):
    desk = desk_with(program)
    with pytest.raises(Refusal, match="no shell 'job-1' of yours"):
        asyncio.run(desk.shown(asks, "job-1", 0, 0.0))
    with pytest.raises(Refusal, match="no shell 'job-1' of yours"):
        asyncio.run(desk.type_in(asks, "job-1", TypedKeys(keys="x")))

"""Steps that cannot be measured: what is said of it is a line."""

import sys

import pytest

from kilowait.core.errors import KilowaitError
from kilowait.measure import board_steps

SLEEPS = (sys.executable, "-c", "import time; time.sleep(60)")


def test_an_interpreter_that_takes_too_long_is_said_without_the_program_that_it_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(board_steps, "LIMIT_S", 0.2)
    with pytest.raises(KilowaitError, match=r"no answer within 0\.2 s") as caught:
        board_steps.measured_steps(SLEEPS, board_steps.STEPS[:1])
    assert "torch" not in str(caught.value)

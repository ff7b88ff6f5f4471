"""The keys by which one leaves a shell, in whatever pieces they come."""

import pytest

from kilowait.cli.of_service.attached_terminal import LeaveKeys


@pytest.mark.parametrize(
    ("pieces", "typed", "leaves"),
    [
        (["ls ~.\r"], "ls ~.\r", False),  # not at the beginning of a line
        (["~."], "", True),
        (["ls\r", "~", ".more"], "ls\r", True),
        (["ls\r~/bin\r"], "ls\r~/bin\r", False),
        (["\r~~."], "\r~~.", False),
        (["~", "\r", "~."], "~\r", True),
    ],
)
def test_it_is_left_by_a_tilde_and_a_dot_at_the_beginning_of_a_line(pieces, typed, leaves):
    keys, left, passed = LeaveKeys(), False, ""
    for piece in pieces:
        more, left = keys.passed(piece)
        passed += more
    assert (passed, left) == (typed, leaves)

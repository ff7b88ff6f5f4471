"""Values that do not stand in a log, in however many pieces they are written."""

import pytest

from kilowait.measure.hidden_values import HiddenValues


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_a_value_is_hidden_however_it_is_cut(size):
    hidden = HiddenValues(["s3cret-token", "s3cret-token-longer", "short", "Ünïcödé-geheim"])
    text = "begin s3cret-token s3cret-tok, s3cret-token-longer\nshort Ünïcödé-geheim s3cret".encode()
    pieces = [text[start : start + size] for start in range(0, len(text), size)]
    shown = b"".join(hidden.passed(piece) for piece in [*pieces, b"", b""])
    assert shown.decode() == "begin *** s3cret-tok, ***\nshort *** s3cret"


def test_what_cannot_be_a_value_is_shown_at_once():
    hidden = HiddenValues(["s3cret-token"])
    assert hidden.passed(b"progress 1/5\n") == b"progress 1/5\n"
    assert hidden.passed(b"s3cret") == b""
    assert hidden.passed(b"s") == b"s3crets"[:6]  # of which the last may begin one
    assert HiddenValues([]).passed(b"s3cret-token") == b"s3cret-token"

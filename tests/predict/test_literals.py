"""Which numbers of a source count, and which token each belongs to."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.predict.embed.literals import find_literals


def read(text: str) -> list[tuple[int, float]]:
    """Literals of a text with one token a character, weights turned back into values."""
    found = find_literals(text, [(i, i + 1) for i in range(len(text))])
    return [(t, round(math.expm1(w), 9)) for t, w in zip(found.tokens, found.weights, strict=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 64", [(5, 64.0)]),
        ("1_000", [(4, 1000.0)]),
        ("lr=3e-4,b=0.5", [(6, 3e-4), (12, 0.5)]),
        ("end of 16.", [(8, 16.0)]),
        ("relu6, x1, 2d, 0x10, 1.2.3", []),
        ("a[3:10]", [(2, 3.0), (5, 10.0)]),
        ("-7", [(1, 7.0)]),
        ("1e999 and 2", [(10, 2.0)]),
    ],
)
def test_numbers_by_hand(text, expected):
    assert read(text) == expected


def test_literal_belongs_to_the_token_that_holds_its_last_digit():
    assert find_literals("ab 123 cd", [(0, 2), (2, 4), (4, 7), (7, 9)]).tokens == [2]


def test_window_counts_from_its_start():
    inside = find_literals("1 22 333", [(i, i + 1) for i in range(8)]).within(range(2, 8))
    assert inside.tokens == [1, 5]
    assert inside.weights == [math.log1p(22), math.log1p(333)]


@given(st.text(alphabet="0123456789_.eExjL+- abc\n\u0663", max_size=60))
def test_any_text_gives_finite_weights_at_tokens_it_has(text):
    found = find_literals(text, [(i, i + 1) for i in range(len(text))])
    assert all(0 <= token < len(text) for token in found.tokens)
    assert all(math.isfinite(weight) for weight in found.weights)

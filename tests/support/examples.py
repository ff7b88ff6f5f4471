"""How many examples a property is tried on: in the suite a quarter of what it says, other ones each time, in the quick
tests fewer, and all of them with `--hypothesis-profile whole`."""

from hypothesis import settings

WHOLE, SUITE, QUICK = 100, 25, 15
"""Examples of a property that names no number, in the profiles that tests/conftest.py registers."""


def examples(count: int) -> int:
    """`count`, in the proportion of the profile that this run has loaded; at least 5."""
    return max(5, count * settings().max_examples // WHOLE)

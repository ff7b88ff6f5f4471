"""How many examples a property is tried on: as many as it says in the whole suite, a fifth of them in the quick one."""

from hypothesis import settings

WHOLE, QUICK = 100, 20
"""Examples of a property that names no number, in the two profiles that tests/conftest.py registers."""


def examples(count: int) -> int:
    """`count`, in the proportion of the profile that this run has loaded; at least 5."""
    return max(5, count * settings().max_examples // WHOLE)

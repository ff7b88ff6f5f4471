"""Parts of jobs that can be stopped: by hand, and against trying all ways to switch."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.policies.planning.cheapest_hours import Hours
from kilowait.policies.planning.cheapest_parts import next_part
from tests.support.hourly_signals import hourly

H = 3600.0


def hours(values, waiting=0.0):
    return Hours.of(hourly(*values, name="price"), 0.0, len(values) * H, waiting)


@pytest.mark.parametrize(
    ("values", "work_h", "restart_s", "runs", "start_h"),
    [
        ((5.0, 1.0, 5.0, 1.0), 2, 0.0, False, 1),  # two parts, none of them now
        ((1.0, 5.0, 5.0, 1.0), 2, 0.0, False, 0),
        ((5.0, 5.0, 1.0, 1.0), 2, 300.0, True, 2 - 300 / H),
        ((5.0, 4.9, 1.0, 1.0), 3.95, 300.0, True, 0),  # going on takes 300 s, and there are none left
        ((5.0, 4.9, 1.0, 1.0), 2.5, 300.0, True, 1.5 - 300 / H),
        ((5.0, 5.0, 4.99, 4.99), 1, 300.0, True, 0),  # saves less than going on costs
        ((3.0, 3.0, 3.0), 1, 0.0, False, 0),
        ((5.0, 1.0), 2, 0.0, True, 0),  # no time to spare
        ((-1.0, -5.0, -1.0), 1, 0.0, False, 1),
    ],
)
def test_when_it_runs_next(values, work_h, restart_s, runs, start_h):
    found_s = next_part(hours(values), 1.0, work_h * H, restart_s, len(values) * H, runs=runs).start_s
    assert found_s == pytest.approx(start_h * H)


def test_an_hour_of_waiting_has_its_price():
    values = (5.0, 1.0, 5.0)
    assert next_part(hours(values, waiting=3.0), 1.0, H, 0.0, 3 * H, runs=False).start_s == H
    assert next_part(hours(values, waiting=5.0), 1.0, H, 0.0, 3 * H, runs=False).start_s == 0.0
    assert next_part(hours(values, waiting=5.0), 2.0, H, 0.0, 3 * H, runs=False).start_s == H  # twice the power


@given(st.lists(st.integers(1, 20), min_size=3, max_size=8, unique=True), st.data())
def test_whole_hours_without_restarts_are_the_cheapest_that_suffice(values, data):
    work_h = data.draw(st.integers(1, len(values) - 1))
    ways = (way for way in product((0, 1), repeat=len(values)) if sum(way) == work_h)
    cheapest, best = min((sum(price for on, price in zip(way, values, strict=True) if on), way) for way in ways)
    found_s = next_part(hours(tuple(map(float, values))), 1.0, work_h * H, 0.0, len(values) * H, runs=False).start_s
    assert found_s == (best.index(1) * H if cheapest < sum(values[:work_h]) * 0.995 else 0.0)

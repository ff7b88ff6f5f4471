"""Signals: step functions over time, with a plain sum over small steps as the reference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.core.over_time.signals import Signal


def steps(*values, each_s=10, begins_s=0, **more):
    times_s = tuple(float(begins_s + each_s * k) for k in range(len(values)))
    return Signal(name="carbon", times_s=times_s, values=values, ends_s=times_s[-1] + each_s, **more)


def test_a_value_holds_from_its_time_until_the_next():
    signal = steps(1.0, 4.0, 2.0)
    assert [signal.at(t) for t in (0, 9.5, 10, 29.9)] == [1, 1, 4, 2]
    assert signal.integral(5, 25) == 5 * 1 + 10 * 4 + 5 * 2
    assert signal.mean(10, 20) == 4
    assert signal.changes(0, 20) == [10, 20]


def test_a_period_repeats_the_last_steps():
    signal = steps(9.0, 1.0, 3.0, period_s=20)
    assert [signal.at(t) for t in (30, 40, 55, 1010)] == [1, 3, 1, 1]
    assert signal.integral(0, 75) == (90 + 10 + 30) + 2 * (10 + 30) + 5 * 1
    assert signal.changes(15, 62) == [20, 30, 40, 50, 60]
    assert signal.changes(1005, 1020) == [1010, 1020]


@given(
    st.lists(st.floats(0, 1e3), min_size=2, max_size=6),
    st.integers(0, 120),
    st.integers(0, 120),
    st.integers(1, 2),
)
def test_an_integral_is_the_sum_of_its_seconds(values, one, other, turns):
    signal = steps(*values, period_s=10 * turns)
    early, late = sorted((one, other))
    assert signal.integral(early, late) == pytest.approx(sum(signal.at(s) for s in range(early, late)), abs=1e-6)
    assert signal.later(7).integral(early + 7, late + 7) == pytest.approx(signal.integral(early, late), abs=1e-6)


@pytest.mark.parametrize("time_s", [-1, 20, 1e9])
def test_what_is_not_known_is_refused(time_s):
    signal = steps(1.0, 2.0)
    with pytest.raises(InputError, match="signal carbon: it is known from 0 s to 20 s of the clock, and not at"):
        signal.at(time_s)
    with pytest.raises(InputError, match="give a longer one"):
        signal.integral(min(0, time_s), max(time_s, 21))


@pytest.mark.parametrize(
    ("times_s", "values", "more", "told"),
    [
        ((), (), {}, "needs a value for each time"),
        ((0.0, 0.0), (1.0, 1.0), {}, "rise to its end"),
        ((0.0, 99.0), (1.0, 1.0), {}, "rise to its end"),
        ((0.0,), (float("nan"),), {}, "values must be finite and >= 0, got nan"),
        ((0.0,), (-1.0,), {}, "got -1.0"),
        ((0.0,), (1.0,), {"period_s": 60.0}, "period_s must be from 0 to its length, got 60.0"),
    ],
)
def test_what_is_no_signal_is_refused(times_s, values, more, told):
    with pytest.raises(InputError, match=told):
        Signal(name="carbon", times_s=times_s, values=values, ends_s=50.0, **more)


def test_a_price_may_be_negative():
    assert Signal(name="price", times_s=(0.0,), values=(-0.1,), ends_s=1.0).at(0) == -0.1

"""Chances to be done in time, against plain sampling of the same distribution."""

import math

import numpy as np
import pytest

from kilowait.core.jobs import Prediction
from kilowait.core.over_time.deadlines import chance_within, latest_start_s, seconds_within

SURE = Prediction(runtime_s=100.0, energy_kwh=1.0)
WIDE = Prediction(runtime_s=100.0, energy_kwh=1.0, runtime_low_s=80.0, runtime_high_s=300.0)


def drawn():
    """Run times: half below what is expected, half above, log-normal to each side."""
    deviations = np.random.default_rng(0).normal(size=200_000) / 1.6449
    return 100 * np.exp(np.where(deviations > 0, deviations * math.log(3), deviations * math.log(100 / 80)))


@pytest.mark.parametrize("seconds", [60, 80, 95, 100, 150, 300, 500])
def test_the_chance_is_the_share_of_runs_that_are_done(seconds):
    assert chance_within(WIDE, seconds) == pytest.approx((drawn() <= seconds).mean(), abs=0.005)


@pytest.mark.parametrize("chance", [0.01, 0.05, 0.5, 0.95, 0.99])
def test_the_seconds_are_the_quantile(chance):
    assert seconds_within(WIDE, chance) == pytest.approx(np.quantile(drawn(), chance), rel=0.02)
    assert chance_within(WIDE, seconds_within(WIDE, chance)) == pytest.approx(chance)


def test_the_ends():
    assert (chance_within(WIDE, 0), chance_within(WIDE, -1), chance_within(SURE, 100)) == (0, 0, None)
    assert (seconds_within(WIDE, 0), seconds_within(WIDE, 1), seconds_within(SURE, 0.9)) == (0, math.inf, 150)
    exact = Prediction(runtime_s=100.0, energy_kwh=1.0, runtime_low_s=100.0, runtime_high_s=100.0)
    assert (chance_within(exact, 99), chance_within(exact, 100)) == (0, 1)


def test_a_run_may_start_so_late_that_a_hundredth_more_are_late():
    latest_s = latest_start_s(WIDE, 1000.0, 0.0, 0.01)
    assert (drawn() > 1000 - latest_s).mean() == pytest.approx(0.01, abs=0.002)
    assert latest_start_s(SURE, 1000.0, 0.0, 0.01) == 850
    assert latest_start_s(WIDE, 50.0, 0.0, 0.01) == 50  # it is late anyway

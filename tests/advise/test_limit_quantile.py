"""A time limit out of a prediction."""

import math

import pytest

from kilowait.advise.limit_quantile import quantile_s, time_limit
from kilowait.core.errors import InputError
from tests.support.advised import prediction


def test_the_ends_of_the_interval_are_its_quantiles():
    expected = prediction(600, 200, 1800)
    assert quantile_s(expected, 0.05) == pytest.approx(1800)
    assert quantile_s(expected, 0.95) == pytest.approx(200)
    assert quantile_s(expected, 0.5) == pytest.approx(600)


def test_a_smaller_risk_is_further_out():
    # of log-normal times the 99% quantile lies 2.3263 deviations out, the 95% one 1.6449
    assert quantile_s(prediction(100, 50, 200), 0.01) == pytest.approx(100 * 2 ** (2.3263 / 1.6449), rel=1e-3)


@pytest.mark.parametrize("risk", [0, 1, -0.1, math.nan])
def test_a_risk_that_is_no_share_is_refused(risk):
    with pytest.raises(InputError, match="risk must be between 0 and 1"):
        quantile_s(prediction(600, 200, 1800), risk)


def test_limits_are_whole_minutes_and_enough_for_the_slowest_type():
    limit = time_limit([prediction(600, 300, 1201), prediction(60, 30, 90)], 0.05, 300, None)
    assert (limit.seconds, limit.capped) == (1560, False)  # 1501 s are 25.02 minutes


def test_a_partition_ends_it_sooner():
    limit = time_limit([prediction(7000, 3000, 14000)], 0.05, 300, 7200)
    assert (limit.seconds, limit.wanted_s, limit.capped) == (7200, 14340, True)


def test_without_an_interval_there_is_no_limit():
    assert time_limit([prediction(600), prediction(60, 30, 90)], 0.05, 300, None) is None
    assert time_limit([], 0.05, 300, None) is None

"""Prediction intervals as those of log-normal distributions."""

from statistics import NormalDist

from kilowait.core.jobs import INTERVAL_COVERAGE

TO_END = NormalDist().inv_cdf((1 + INTERVAL_COVERAGE) / 2)
"""Standard deviations, in logarithms, from what is expected to either end of its interval."""

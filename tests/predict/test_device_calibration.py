"""Quantiles of out-of-fold residuals, and the intervals they make."""

import math

import numpy as np
import pytest

from kilowait.core.errors import ModelError
from kilowait.predict.device_model.calibration import Calibration, Quantiles, coverage


def test_ends_are_the_quantiles_of_programs():
    """With 39 programs the 5% quantile is the 2nd smallest and the 95% quantile the 38th, ceil(40 * 0.95)."""
    scores = np.random.default_rng(0).permutation(np.arange(1.0, 40.0))
    found = Quantiles.of(scores, np.arange(39))
    assert (found.low, found.high, found.programs) == (2.0, 38.0, 39)
    assert Quantiles.of(scores[:3], np.arange(3)).high == scores[:3].max()


def test_coverage_of_exchangeable_residuals_is_as_asked():
    rng = np.random.default_rng(1)
    scores, program = rng.normal(size=4000), np.repeat(np.arange(1000), 4)
    assert coverage(scores, program, program % 10) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("change", [{"partial_factor": 0.5}, {"partial_factor": math.nan}, {"measured": None}])
def test_a_damaged_calibration_is_refused(change):
    ends = Quantiles(low=-1.0, high=1.0, programs=30)
    good = Calibration(measured=ends, new=ends).to_dict()
    assert Calibration.from_dict(good).to_dict() == good
    with pytest.raises(ModelError, match="fit it again"):
        Calibration.from_dict({**good, **change})

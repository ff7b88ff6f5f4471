"""What benchmarks of carbon set beside each other: by hand."""

import numpy as np
import pytest

from benchmarks.levers import TOGETHER, Way, beside
from benchmarks.workflow_carbon import at_carbon


def test_the_time_at_the_same_carbon_lies_between_the_neighbours_in_proportion():
    way = np.array([[[0.0, 0.0, 0.0]], [[-0.3, 0.9, 0.6]], [[-0.1, 0.1, 0.2]]])  # in any order
    for saved, completion, makespan in ((-0.1, 0.1, 0.2), (-0.2, 0.5, 0.4), (-0.05, 0.05, 0.1), (0.02, 0.0, 0.0)):
        mine = np.array([[saved, 7.0, 7.0]])
        assert [at_carbon(way, mine, k)[0] for k in (1, 2)] == pytest.approx([completion, makespan])


def test_beside_a_lever_stands_the_least_carbon_of_all_together_that_took_no_longer():
    lever, low, middle, slow = Way(lever="type"), *(Way(lever=TOGETHER, slack_h=h) for h in (1, 2, 3))
    means = {lever: [0.9, 1.1], low: [0.8, 1.0], middle: [0.7, 1.1], slow: [0.6, 1.2]}
    found = {way: np.array([[mean[0] - 0.1, mean[1]], [mean[0] + 0.1, mean[1]]]) for way, mean in means.items()}
    assert beside(lever, found) == middle
    assert beside(middle, found) is None
    assert beside(lever, {way: found[way] for way in (lever, slow)}) is None

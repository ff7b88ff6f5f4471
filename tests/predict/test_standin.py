"""Guesses for GPU types without labels: marked, in the order of power, and never in the place of a prediction."""

import pytest

from kilowait.core.hardware import CATALOGUE
from kilowait.core.units import JOULES_PER_KWH
from kilowait.predict.standin import MARK, on_types
from tests.support.live_world import seen


def test_what_the_probe_knows_stays_and_what_it_lacks_is_marked():
    own = seen(A100=(10, 1))
    found = on_types(own, ["A100", "H100", "A6000"])
    assert found["A100"] is own["A100"]
    assert [found[t].features.endswith(MARK) for t in ("A100", "H100", "A6000")] == [False, True, True]
    assert found["H100"].runtime_s < 10 < found["A6000"].runtime_s


def test_energy_is_the_boards_that_it_takes_between_idle_and_peak():
    one, share = (on_types(seen(cpu=(10, 1)), ["A100"], gpus)["A100"] for gpus in (2.0, 0.5))
    board = CATALOGUE["A100"]
    watts = one.energy_kwh * JOULES_PER_KWH / one.runtime_s
    assert 2 * board.idle_w < watts < 2 * board.peak_w
    assert share.energy_kwh == pytest.approx(one.energy_kwh / 4)


def test_a_type_that_nobody_knows_gets_no_guess():
    assert on_types(seen(cpu=(10, 1)), ["X9000"]).keys() == {"cpu"}
    assert on_types({}, ["A100"]) == {}

"""Watts between idle and limit, limits that never make a program faster, files that are refused."""

import json
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import ModelError
from kilowait.core.jobs import Prediction
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.power.draw_shares import DrawShares
from kilowait.predict.power.limit_curve import LimitCurve
from kilowait.predict.power.power_model import PowerModel

SHIPPED = PowerModel.load_default()
A100, A40 = Specification.named("A100"), Specification.named("A40")
STEEP = LimitCurve(
    ratios=(0.5, 1.0), log_slowdown=(float(np.log(1.5)), 0.0), draw=(0.4, 1.0), arithmetic=0.5, typical=0.8
)


def shares(arithmetic=0.0, recurrent=0.0, memory=0.0, least=0.0):
    """Of one program on one board."""
    values = {"arithmetic": arithmetic, "recurrent": recurrent, "memory": memory, "least": least}
    return DrawShares(**{name: np.array([[value]]) for name, value in values.items()})


@pytest.mark.parametrize("board", [A100, A40, Specification.named("RTX-4090")])
def test_a_busy_board_draws_more_than_a_waiting_one_and_never_more_than_its_limit(board):
    def watts(**parts):
        return SHIPPED.watts(shares(**parts).features([board]), [board])[0, 0]

    assert board.idle_w / 2 <= watts() < watts(memory=0.5) < watts(memory=1.0) <= board.peak_w
    assert watts(arithmetic=1.0) > watts(arithmetic=0.3)


def test_a_limit_by_hand():
    # floor 50 W, 150 W of dynamic draw at 200 W: a limit of 125 W leaves half of it
    assert STEEP.at(125, 200, 50, 0.5) == pytest.approx((1.5, 200 - 150 * 0.6))
    assert STEEP.at(200, 200, 50, 0.5) == pytest.approx((1.0, 200.0))
    assert STEEP.at(300, 200, 50, 0.5) == pytest.approx((1.0, 200.0))
    slower, _ = STEEP.at(110, 200, 50, 0.5)  # below what was measured it goes on
    assert slower > 1.5


@given(
    watts=st.floats(60, 400),
    arithmetic=st.floats(0, 1),
    name=st.sampled_from(["A100", "A40", "V100", "H100", "RTX-4090", "P100"]),
)
def test_a_lower_limit_is_never_faster_and_draws_never_more(watts, arithmetic, name):
    board = Specification.named(name)
    watts = min(watts, board.peak_w)
    whole = Prediction(runtime_s=3600.0, energy_kwh=watts / 1000)
    limits = SHIPPED.limits(whole, board, watts, arithmetic)
    seconds = [whole.runtime_s, *(limit.runtime_s for limit in limits)]
    assert seconds == sorted(seconds)
    for limit in limits:
        assert limit.energy_kwh / limit.runtime_s <= whole.energy_kwh / whole.runtime_s + 1e-12
        assert limit.energy_kwh * 3.6e6 / limit.runtime_s <= limit.limit_w * (1 + 1e-9)  # no board passes its limit


def test_energy_is_less_certain_the_more_its_errors_go_with_those_of_time():
    along = SHIPPED.half_width("A40", 0.5)
    assert along > 0
    assert SHIPPED.half_width("RTX-4090", 0.5) > 0
    assert SHIPPED.half_width("A40", 0.0) == pytest.approx(1.645 * SHIPPED.sigma)


@pytest.mark.parametrize("damage", ["{", '{"version": "0"}', "edited", "missing"])
def test_a_damaged_file_is_refused(damage, tmp_path):
    path = tmp_path / "power.json"
    if damage == "edited":
        shipped = resources.files("kilowait") / "data" / "power_model" / "power.json"
        path.write_text(json.dumps({**json.loads(shipped.read_text(encoding="utf-8")), "sigma": 0.5}))
    elif damage != "missing":
        path.write_text(damage)
    with pytest.raises(ModelError, match="kilowait lab power"):
        PowerModel.load(path)

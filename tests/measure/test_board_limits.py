"""Power limits of boards: set, changed, never above what they were, and set back, whoever dies meanwhile."""

import json
import subprocess
import sys
import time

import pytest

from kilowait.core.errors import MeterError
from kilowait.measure.allotment import Allotment
from kilowait.measure.board_limits import VARIABLE, BoardLimits
from tests.support.file_nvml import file_nvml

HOLDS = """
import sys, time, pynvml
from kilowait.measure.board_limits import BoardLimits
BoardLimits(pynvml, ["one", "two"]).set(200.0)
print("set", flush=True)
time.sleep(600)
"""


@pytest.fixture
def boards(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "limits"))
    return file_nvml(tmp_path, monkeypatch, one=400, two=300)


def until(what):
    deadline_s = time.monotonic() + 300
    while not what():
        assert time.monotonic() < deadline_s
        time.sleep(0.02)


def test_limits_are_set_and_changed_and_set_back_and_never_above_what_a_board_had(boards):
    nvml, now_w = boards
    limits = BoardLimits(nvml, ["one", "two"])
    for limit_w, shown in ((200.0, (200, 200)), (350.0, (350, 300)), (None, (400, 300))):
        limits.set(limit_w)
        assert tuple(now_w().values()) == shown


def test_whoever_is_killed_leaves_a_guard_that_sets_the_limits_back(boards, tmp_path):
    _, now_w = boards
    with subprocess.Popen([sys.executable, "-c", HOLDS], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"set\n"
        assert now_w() == {"one": 200, "two": 200}
        holder.kill()
    until(lambda: now_w() == {"one": 400, "two": 300} and not list((tmp_path / "limits").iterdir()))


def test_where_the_guard_died_too_the_next_on_the_board_sets_it_back(boards, tmp_path):
    nvml, now_w = boards
    nvml.nvmlDeviceSetPowerManagementLimit("one", 200_000)
    (tmp_path / "limits").mkdir()
    (tmp_path / "limits" / "one.json").write_text(json.dumps({"before_mw": 400_000, "by": 1}))
    BoardLimits(nvml, ["one"]).set(None)
    assert now_w()["one"] == 400


def test_a_guard_leaves_the_limit_of_the_next_alone(boards, tmp_path):
    nvml, now_w = boards
    limits = BoardLimits(nvml, ["one"])
    limits.set(250.0)
    BoardLimits(nvml, ["one"]).restore_of(1)  # of another process that had it before
    assert now_w()["one"] == 250
    limits.set(None)


@pytest.mark.parametrize(
    ("limit_w", "refuses", "said"),
    [
        (200.0, True, r"one: its power limit cannot be set to 200 W \(Insufficient Permissions\): run Ray on this "),
        (50.0, False, r"one: a power limit of 50 W is below the board's least, 100 W"),
    ],
)
def test_a_limit_that_cannot_be_set_is_an_error_with_its_remedy_and_leaves_nothing(
    boards, tmp_path, monkeypatch, limit_w, refuses, said
):
    nvml, now_w = boards
    if refuses:
        monkeypatch.setenv("FILE_NVML_REFUSES", "1")
    limits = BoardLimits(nvml, ["one"])
    with pytest.raises(MeterError, match=said):
        limits.set(limit_w)
    assert now_w()["one"] == 400
    assert not list((tmp_path / "limits").glob("*.json"))
    monkeypatch.delenv("FILE_NVML_REFUSES", raising=False)
    limits.set(None)


def test_a_board_of_a_test_says_that_it_draws_no_more_than_its_limit():
    boards = Allotment(gpu_type="A100", gpu_milli=1000, gpu_ids=("0", "1"), pretended=True)
    boards.limit(150.0)
    assert boards.power_w() == (300.0, "pretended")
    boards.limit(None)
    assert boards.power_w() == (800.0, "pretended")

"""What predictions of steps are set beside: formulas by hand, models of others where the truth is as they assume."""

import numpy as np
import pytest

from kilowait.core.hardware import GPU_TYPES
from kilowait.lab.steps.board_order import BoardOrder
from kilowait.lab.steps.labelled_steps import LabelledStep
from kilowait.lab.steps.step_baselines import STEP_BASELINES, habitat, roofline
from kilowait.lab.steps.step_works import StepWorks
from tests.support.operation_world import copy_run, product, whole_run

pytestmark = pytest.mark.torch
SIZES = [int(n) for n in np.geomspace(1e6, 1e9, 40)]


def label(run, gpu: str, seconds: float) -> LabelledStep:
    return LabelledStep(run=run, gpu=gpu, source="mine", family=run.content_hash, kind="k", seconds=seconds)


def copies(gpu: str, rate: float) -> list[LabelledStep]:
    """Copies that take a launch of 20 us and their bytes at a rate."""
    return [label(copy_run(f"c{n}", n), gpu, 2e-5 + 8 * n / rate) for n in SIZES]


def test_boards_that_differ_by_a_tenth_are_put_in_order_program_by_program() -> None:
    order = BoardOrder.of(
        ["a", "a", "a", "b", "b"],
        ["A100-80GB", "A6000", "T4", "A100", "A6000"],
        np.array([1.0, 1.5, 1.05, 2.0, 1.0]),
        np.array([1.0, 0.5, 9.0, 3.0, 3.0]),
    )
    # a: A100:A6000 wrong, A100:T4 too near, A6000:T4 wrong; b: a tie, which is wrong
    assert (order.pairs, order.right, order.named_pairs, order.named_right) == (3, 0.0, 2, 0.0)
    right = BoardOrder.of(["a", "a"], ["T4", "A100"], np.array([2.0, 1.0]), np.array([8.0, 7.0]))
    assert (right.pairs, right.right, right.named_right) == (1, 1.0, None)


def test_pairs_of_steps_below_a_millisecond_are_told_apart() -> None:
    programs, boards = ["a", "a", "b", "b"], ["A100", "A6000", "A100", "T4"]
    order = BoardOrder.of(programs, boards, np.array([5e-4, 2e-3, 2e-3, 4e-3]), np.array([9.0, 8.0, 1.0, 2.0]))
    assert (order.pairs, order.right, order.named_right) == (2, 0.5, 0.0)
    assert (order.long_pairs, order.long_right, order.named_long_pairs, order.named_long_right) == (1, 1.0, 0, None)


def test_the_roofline_is_the_sheet_s() -> None:
    sheet = GPU_TYPES["A100"]
    labels = [label(copy_run("c", 10**8), "A100", 1.0), label(whole_run("p", product(4096)), "A100", 1.0)]
    found = roofline(StepWorks.of(labels), np.zeros(2, bool), np.ones(2, bool))
    assert found == pytest.approx([8e8 / sheet.bandwidth, 4096**3 / (0.75 * sheet.fp32_flops)])


def test_a_scaling_goes_by_bandwidth_where_that_limits_and_needs_the_program_elsewhere() -> None:
    labels = [*copies("A100", 1e12)[:2], *copies("H100", 2e12)[:3]]
    found = habitat(StepWorks.of(labels), np.arange(5) < 2, np.arange(5) >= 2)
    ratio = GPU_TYPES["A100"].bandwidth / GPU_TYPES["H100"].bandwidth
    assert found[:2] == pytest.approx([ratio * one.seconds for one in labels[:2]], rel=0.02)
    assert np.isnan(found[2])


@pytest.mark.parametrize(
    ("name", "most"), [("mean", 60.0), ("nearest", 0.3), ("NeuralPower", 0.02), ("Justus et al.", 0.15)]
)
def test_what_is_learned_answers_for_programs_between_those_it_saw(name: str, most: float) -> None:
    labels = [*copies("A100", 1e12), *copies("T4", 2.5e11)]
    tested = np.arange(len(labels)) % 5 == 2
    works = StepWorks.of(labels)
    found = STEP_BASELINES[name](works, ~tested, tested)
    errors = np.abs(found / works.seconds[tested] - 1)
    assert np.median(errors) < most
    assert found == pytest.approx(STEP_BASELINES[name](works, ~tested, tested), rel=1e-6)

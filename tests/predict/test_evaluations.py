"""The share of evaluations in a dry run: passes forward that no backward one follows."""

import pytest

from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dryrun.record import Completeness, DryRun, Operation
from kilowait.predict.evaluations import evaluation_share

ON = Specification.cpu(1)
SECOND = ON.fp32_flops
"""FLOPs that take a second."""


def operation(op, count, seconds, *, backward=False):
    kinds = {"kind": "gemm", "dtype": "float32", "device": "cuda", "kernels": 1, "backward": backward}
    return Operation(op=f"aten.{op}", count=count, flops=seconds * SECOND, bytes_read=0, bytes_written=0, **kinds)


def run(*operations, completeness=Completeness.WHOLE, steps=100.0):
    return DryRun(
        content_hash="",
        target="cuda",
        completeness=completeness,
        operations=tuple(operations),
        steps=steps,
        parameters=0,
        peak_memory_bytes=0,
        reason="",
        seconds=0,
    )


TRAINING = (
    operation("mm", 200, 1.0, backward=True),
    operation("nll_loss_backward", 100, 0.0, backward=True),
    operation("addcdiv_", 100, 1.0),
)


def test_passes_forward_without_a_backward_one_are_evaluations():
    """125 passes forward of 1 s, 100 backward of 2 s, 100 of the optimizer of 1 s: 25 of 425 s are evaluations."""
    found = evaluation_share(run(operation("mm", 125, 1.0), operation("nll_loss_forward", 125, 0.0), *TRAINING), ON)
    assert found == pytest.approx(25 / 425, rel=0.01)


def test_what_only_trains_evaluates_nothing():
    every = operation("mm", 100, 1.0), operation("nll_loss_forward", 100, 0.0)
    assert evaluation_share(run(*every, *TRAINING), ON) == 0
    assert evaluation_share(run(operation("mm", 100, 1.0)), ON) == 0


def test_a_forward_pass_that_is_repeated_for_its_gradient_is_no_evaluation():
    twice = operation("convolution", 200, 1.0), operation("nll_loss_forward", 100, 0.0)
    again = operation("convolution_backward", 100, 1.0, backward=True)
    assert evaluation_share(run(*twice, again, *TRAINING), ON) == 0


def test_what_ended_early_says_nothing():
    more = operation("mm", 125, 1.0), operation("nll_loss_forward", 125, 0.0)
    assert evaluation_share(run(*more, *TRAINING, completeness=Completeness.PARTIAL), ON) == 0

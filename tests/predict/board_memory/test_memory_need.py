"""Whether a program fits on a type, from a footprint."""

from dataclasses import replace

import pytest

from kilowait.core.hardware import CATALOGUE
from kilowait.predict.board_memory.board_capacity import context_bytes, usable_bytes
from kilowait.predict.board_memory.memory_need import Fitting, memory_need
from kilowait.predict.dryrun.record import Completeness, DryRun, Footprint

GIB = 2**30
MESSAGES = {  # GiB of total capacity, as PyTorch's messages of lacking memory name them
    "RTX-3090": 23.69,
    "RTX-4090": 23.64,
    "A100": 39.39,
    "A100-80GB": 79.15,
    "H100": 79.2,
    "V100": 15.78,
    "T4": 14.75,
    "A10G": 22.2,
    "A40": 44.5,
    "L4": 22.17,
    "A6000": 47.5,
    "RTX-2080-Ti": 10.76,
    "RTX-5090": 31.36,
}


def run_of(gib: float, workspace: float = 0.0, **changes: object) -> DryRun:
    """Holds so many GiB, two of them parameters, gradients and states."""
    footprint = Footprint(
        parameters=0.5 * GIB,
        gradients=0.5 * GIB,
        optimizer=1 * GIB,
        activations=(gib - 2) * GIB,
        workspace=workspace * GIB,
        held=gib * GIB,
        held_with_workspace=(gib + workspace) * GIB,
        cached=2 * gib * GIB,
    )
    run = DryRun(content_hash="h", target="cuda", completeness=Completeness.WHOLE, footprint=footprint)
    return replace(run, **changes)


@pytest.mark.parametrize("name", sorted(MESSAGES))
def test_what_a_board_has_is_what_pytorch_says_of_it(name):
    assert usable_bytes(name) / GIB == pytest.approx(MESSAGES[name], rel=0.015)


def test_every_type_has_less_than_is_printed_on_it_and_more_than_nine_tenths():
    for name, board in CATALOGUE.items():
        assert 0.9 < usable_bytes(name) / (board.memory_bytes / 1e9 * GIB) < 1


@pytest.mark.parametrize(
    ("gib", "fitting", "fits"),
    [(18, Fitting.FITS, True), (22.5, Fitting.CLOSE, True), (24, Fitting.CLOSE, False), (28, Fitting.TOO_LARGE, False)],
)
def test_the_interval_says_fits_close_or_not(gib, fitting, fits):
    need = memory_need(run_of(gib), "RTX-3090")
    assert (need.fitting, need.fits) == (fitting, fits)
    assert need.low < need.expected < need.high
    assert need.expected == pytest.approx(gib * GIB + context_bytes("RTX-3090"))


def test_parts_add_up_and_the_largest_is_named():
    need = memory_need(run_of(10, workspace=1), "A100")
    assert sum(need.parts.values()) == pytest.approx(need.expected)
    assert need.dominant == "activations"
    assert need.parts["workspace"] == 0.5 * GIB  # cuDNN does with less where memory is short


def test_sizes_that_were_assumed_widen_what_they_enter():
    sure, assumed = memory_need(run_of(10), "A100"), memory_need(run_of(10, assumed_how=("default",)), "A100")
    assert assumed.expected == sure.expected
    assert assumed.high > 2 * sure.high
    assert assumed.low > 2 * GIB / 1.1  # parameters are not assumed


def test_a_partial_run_is_a_lower_bound():
    need = memory_need(run_of(20, completeness=Completeness.PARTIAL), "RTX-3090")
    assert need.fitting is Fitting.CLOSE
    assert need.low == memory_need(run_of(20), "RTX-3090").low


def test_a_record_without_a_footprint_counts_its_tensors():
    run = DryRun(content_hash="h", target="cuda", completeness=Completeness.WHOLE, peak_memory_bytes=30 * GIB)
    need = memory_need(run, "A100")
    assert need.expected == pytest.approx(30 * GIB + context_bytes("A100"))
    assert need.dominant == "activations"

"""Whole architectures, written as people write them (tests/architectures), run dry on a pretended GPU.

The FLOPs of products are compared with PyTorch's own counter on the meta device, or where that cannot run them (cells
in long loops, what has no meta kernel) with a count by hand.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kilowait.predict.dryrun.program import Program
from kilowait.predict.dryrun.record import Completeness, DryRun, Kind
from kilowait.predict.dryrun.runner import DryRunner

FOLDER = Path(__file__).parent / "architectures"
PRODUCTS = (Kind.GEMM, Kind.CONVOLUTION, Kind.ATTENTION, Kind.RECURRENT)
UNKNOWN = ("asks_for_values", "experts_sparse", "rnn_packed", "speech")
"""Programs whose work depends on values: partial, and said so."""
BY_HAND = {
    # a product of (m, k) and (k, n) is 2 m k n; a recurrent layer has 4 (LSTM) or 3 (GRU) gates
    "lstm": 2 * 10 * 512 * 4 * 256 * ((128 + 256) + 5 * (256 + 256)) + 2 * 10 * 256 * 10,
    "lstm_bidirectional": 2 * 32 * 200 * 2 * 4 * 256 * ((128 + 256) + (512 + 256)) + 2 * 32 * 512 * 5,
    "gru": 2 * 300 * 10 * 2 * 3 * 256 * ((128 + 256) + 2 * (512 + 256)),
    "lstm_cells": 2 * 16 * 512 * (4 * 128 * (64 + 128 + 128 + 128) + 128 * 64),
    "rnn_packed": 2 * 260 * 4 * 96 * (64 + 96 + 96 + 96) + 2 * 4 * 96 * 2,
    "bert_evaluated": 4 * 2 * 8 * 128 * (4 * 256 * 256 + 2 * 128 * 256 + 2 * 256 * 1024) + 2 * 8 * 256 * 256,
    "compiled": 2 * 256 * 512 * 2048 * 2,
    "scripted": 2 * 64 * 256 * 512 * 4 + 2 * 64 * 256 * 10,
    # 64 x 64 positions of the convolution, a recurrent layer over 64 rows, attention among them, the head
    "mixed_precision": 2 * 8 * 64 * (64 * 64 * 27 + 3 * 128 * (64 + 128) + 2 * 64 * 128 + 128 * 100),
    "on_the_device": 2 * 512 * 256 * 256 * 2,
    # two samples, two blocks: 64 latents over 4096 positions of 32 numbers, then among themselves
    "perceiver": 2 * 2 * 2 * (
        2 * 64 * 256 * 256 + 2 * 4096 * 32 * 256 + 2 * 64 * 4096 * 256
        + 4 * 64 * 256 * 256 + 2 * 64 * 64 * 256 + 2 * 64 * 256 * 1024
    ),
    # 2 x 101 positions of the spectrogram after the strides; recurrent layers of 3 gates in 2 directions
    "speech": 2 * 8 * 32 * 55 * 101 * 101
    + 2 * 8 * 101 * 2 * 3 * 256 * ((32 * 101 + 256) + (512 + 256))
    + 2 * 8 * 101 * 512 * 30,
}  # fmt: skip


def programs(folder: str) -> list[Path]:
    return sorted((FOLDER / folder).glob("*.py"))


@pytest.fixture(scope="module")
def runner() -> Iterator[DryRunner]:
    with DryRunner(budget_s=30, target="cuda", unsafe=True) as runner:
        yield runner


def dry(runner: DryRunner, path: Path) -> DryRun:
    return runner.run_program(Program(files={"job.py": path.read_bytes()}, entrypoint="job.py", content_hash=path.stem))


def products(run: DryRun) -> float:
    return sum(op.count * op.flops for op in run.operations if op.kind in PRODUCTS)


def counted(path: Path) -> float:
    """FLOPs of products in one forward pass on the meta device."""
    if path.stem in BY_HAND:
        return float(BY_HAND[path.stem])
    names: dict[str, Any] = {"__name__": "program"}
    with torch.device("meta"), torch.no_grad():
        exec(compile(path.read_text(), path.name, "exec"), names)
        model, inputs = names["Model"](*names["get_init_inputs"]()), names["get_inputs"]()
        with FlopCounterMode(display=False) as counter:
            model(*inputs)
    return float(counter.get_total_flops())


@pytest.mark.parametrize("path", programs("forward"), ids=lambda path: path.stem)
def test_one_forward_pass(path: Path, runner: DryRunner) -> None:
    run = dry(runner, path)
    if path.stem in UNKNOWN:
        assert run.completeness == Completeness.PARTIAL
        assert run.reason
        return
    assert (run.completeness, run.reason) == (Completeness.WHOLE, "")
    assert products(run) == pytest.approx(counted(path), rel=0.01)

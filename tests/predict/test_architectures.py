"""Whole architectures, written as people write them (tests/architectures), run dry on a pretended GPU.

The FLOPs of products are compared with PyTorch's own counter on the meta device, or where that cannot run them (cells
in long loops, what has no meta kernel) with a count by hand.
"""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun, Kind

FOLDER = Path(__file__).parents[1] / "support" / "architectures"
PRODUCTS = (Kind.GEMM, Kind.CONVOLUTION, Kind.ATTENTION, Kind.RECURRENT)
UNKNOWN = {
    "asks_for_values": (Completeness.PARTIAL, "nothing says how often the loop runs"),
    "experts_sparse": (Completeness.GUESSED, "nonzero"),
}
AT_MOST = {"physics"}
"""L-BFGS may be content with fewer evaluations than it may make: FLOPs that are an upper bound."""

"""Programs whose work depends on values, and a word of what is said about it."""
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

_BERT = 2 * (4 * 128**2 + 2 * 128 * 512) + 128**2 + 128 * 2000
_LM = 2 * 4 * 200 * 400
TRAINING = {
    # FLOPs of products (0 where a count by hand is too long), optimizer steps
    "resnet_amp": (
        2
        * 15000
        * (
            2 * 32**2 * 32 * 27
            + 3 * (16**2 * 64 * (32 * 9 + 64 * 9 + 32) + 8**2 * 128 * (64 * 9 + 128 * 9 + 64) + 128 * 10)
        ),
        60,
    ),
    # blocks run twice forward, but for the last matrix, which nobody needs again; attention backward is 5 products
    "gpt_accumulation": (
        200 * (2 * 512 * (2 * (4 * 8 * 128**2 + 3 * 4 * 128**2) + 3 * 128 * 1000) + 2 * 4.5 * 4 * 512 * 64 * 128)
        + 10 * (2 * 512 * (2 * 12 * 128**2 + 128 * 1000) + 2 * 4 * 512 * 64 * 128),
        50,
    ),
    "word_model": (2 * 2 * (3 * 60 * 700 + 7010) * (_LM + 200 * 2000), 0),  # it updates parameters by hand
    "gan": (0, 240),
    "policy_gradient": (
        2 * 4000 * (2 * 400 * 16 * 256 + 3 * (81 * 32 * 256 + 1024 * (2592 + 256) + 256 * 7)),
        200,
    ),
    # lengths 20 to 26 in turn: 1610 positions in a batch of 70
    "classifier_lengths": (50 * 3 * 2 * (1610 * 2 * 3 * 64 * 128 + 70 * 128), 50),
    "distributed": (16 * 2 * 64 * (2 * 256 * 512 + 3 * 512 * 8), 8),
    "accelerated": (60 * 2 * 32 * (2 * 128 * 256 + 3 * 256 * 10), 30),
    "masked_language": (30 * (3 * 2 * 1024 * _BERT + 3.5 * 2 * 4 * 1024 * 64 * 128), 30),
    "trainer": (8 * (3 * 2 * 512 * (2 * 12 * 64**2 + 64 * 1000) + 3.5 * 2 * 4 * 512 * 32 * 64), 4),
    "meta_learning": (0, 100),
    "recommender_sparse": (300 * 3 * 2 * 1024 * (128 * 128 + 128), 600),
    "averaged": (400 * 2 * 32 * (3 * 26**2 * 16 * 9 + 4 * 2560), 400),
    "physics": (0, 50),
    "streaming": (24 * 2 * 50 * (2 * 64 * 32 + 3 * 32 * 3), 24),
}

_PLAIN = """
abs add clamp div elu exp gelu gt ge le lt hardtanh leaky_relu log1p mul neg pow relu round sigmoid silu sub
tanh threshold_backward _prelu_kernel sqrt rsqrt cos sin softplus eq ne bitwise_not square hann_window
_foreach_add _foreach_addcdiv _foreach_addcmul _foreach_div _foreach_lerp _foreach_mul _foreach_sqrt
_thnn_fused_lstm_cell _thnn_fused_gru_cell binary_cross_entropy sgn sign reciprocal log addcdiv addcmul
tanh_backward sigmoid_backward silu_backward gelu_backward leaky_relu_backward hardtanh_backward elu_backward
"""


def programs(folder: str) -> list[Path]:
    return sorted((FOLDER / folder).glob("*.py"))


def dry(runner: DryRunner, path: Path) -> DryRun:
    """The dry run of a program, made once for all tests."""
    if path not in _RUNS:
        program = DryProgram(files={"job.py": path.read_bytes()}, entrypoint="job.py", content_hash=path.stem)
        _RUNS[path] = runner.run_program(program)
    return _RUNS[path]


_RUNS: dict[Path, DryRun] = {}


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
        state, words = UNKNOWN[path.stem]
        assert run.completeness == state
        assert words in run.reason
        return
    assert (run.completeness, run.reason) == (Completeness.WHOLE, "")
    assert products(run) == pytest.approx(counted(path), rel=0.01)


def test_steps_of_training(runner: DryRunner) -> None:
    """Products forward, and twice as many for gradients where the input has one, over all steps."""
    wrong = {}
    for path in programs("training"):
        run = dry(runner, path)
        found = (run.completeness, run.steps, products(run))
        flops, steps = TRAINING[path.stem]
        state = Completeness.GUESSED if path.stem in AT_MOST else Completeness.WHOLE
        wanted = (state, pytest.approx(steps), pytest.approx(flops, rel=0.02) if flops else found[2])
        if found != wanted:
            wrong[path.stem] = (*found, run.reason, wanted)
    assert wrong == {}


def test_nothing_heavy_is_read_as_elementwise_by_default(runner: DryRunner) -> None:
    """Every operator that is read so and carries more than 1% of a program's FLOPs or bytes is elementwise indeed."""
    found = {}
    for path in programs("forward") + [FOLDER / "training" / f"{n}.py" for n in ("averaged", "recommender_sparse")]:
        own = [op for op in dry(runner, path).operations if op.device == "cuda"]
        flops = [op.count * op.flops for op in own]
        moved = [op.count * (op.bytes_read + op.bytes_written) for op in own]
        heavy = [
            op.op for op, f, b in zip(own, flops, moved, strict=True) if f > sum(flops) / 100 or b > sum(moved) / 100
        ]
        plain = {
            op.op.removeprefix("aten.").rstrip("_") for op in own if op.op in heavy and op.kind == Kind.ELEMENTWISE
        }
        found[path.stem] = plain - set(_PLAIN.split())
    assert {name: ops for name, ops in found.items() if ops} == {}


@pytest.mark.parametrize(("name", "dtype"), [("gpt_accumulation", "bfloat16"), ("resnet_amp", "float16")])
def test_autocast_puts_products_on_tensor_cores(name: str, dtype: str, runner: DryRunner) -> None:
    run = dry(runner, FOLDER / "training" / f"{name}.py")
    by_type: dict[str, float] = {}
    for op in run.operations:
        if op.kind in PRODUCTS:
            by_type[op.dtype] = by_type.get(op.dtype, 0.0) + op.count * op.flops
    assert by_type[dtype] > 0.97 * sum(by_type.values())  # the rest is an evaluation in float32


def test_memory_of_a_forward_pass(runner: DryRunner) -> None:
    """Parameters, inputs and the most that lives beside them."""
    wanted = {
        # four matrices with biases, the input, and an activation beside what it is made of
        "mlp": 4 * (2 * 4096**2 + 4096 * 2048 + 2048 * 10 + 2 * 4096 + 2048 + 10 + 3 * 128 * 4096),
        # 11.69 million parameters as published, 9,620 running sums and counts; the first activation twice
        "resnet18": 4 * (11_689_512 + 9_600) + 8 * 20 + 4 * 2 * 3 * 224**2 + 2 * 4 * 2 * 64 * 112**2,
        # two inputs of 32 GiB, the product and the random numbers, as large again
        "large_inputs": 4 * (8192 * 8193 + 3 * 2**33 + 4 * 2**31),
    }
    found = {name: dry(runner, FOLDER / "forward" / f"{name}.py").peak_memory_bytes for name in wanted}
    assert found == {name: pytest.approx(value, rel=0.02) for name, value in wanted.items()}

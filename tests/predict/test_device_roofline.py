"""What a sheet allows, computed by hand; and that more work or a slower sheet is never faster."""

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.predict.device_model.roofline import Columns, compute_share, device_seconds
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.work import Work, work_of
from kilowait.predict.dryrun.record import Kind, Operation

BOARD = Specification(
    name="board",
    multiprocessors=1,
    fp32_flops=1e12,
    tf32_flops=4e12,
    half_flops=8e12,
    fp64_flops=0.5e12,
    bandwidth=1e9,
    cache_bytes=1.0,
    generation=8.0,
    peak_w=300.0,
    idle_w=50.0,
)


def work(**changes: Any) -> Work:
    plain = Work(
        group="elementwise",
        op="add",
        dtype="float32",
        matrix=False,
        flops=1.0,
        bytes_moved=1.0,
        blocks=1e9,
        kernels=1,
        shape=(0.0,) * 12,
    )
    return replace(plain, **changes)


def seconds(one: Work, board: Specification = BOARD, *, tf32: bool = False) -> float:
    return float(device_seconds(Columns.of([one]), board, tf32=tf32)[0])


def operation(op: str, kind: Kind, shapes: list[list[int]], attributes: list[Any], **changes: Any) -> Operation:
    plain = Operation(
        op=op,
        kind=kind,
        dtype="float32",
        device="cuda",
        count=1.0,
        flops=1e6,
        bytes_read=1e6,
        bytes_written=1e6,
        kernels=1,
        shapes=json.dumps(shapes),
        attributes=json.dumps(attributes),
    )
    fields = {name: getattr(plain, name) for name in vars(plain)}
    return Operation(**{**fields, **changes})


def test_bytes_over_what_memory_and_cache_deliver() -> None:
    # 1 GB at 80% of 1 GB/s is 1.25 s; through one multiprocessor's 57.6 GB/s of cache 0.01736 s; a launch 2 us.
    assert seconds(work(bytes_moved=1e9)) == pytest.approx(1.25 + 0.0173611 + 2e-6, rel=1e-5)


def test_products_by_number_type() -> None:
    one = work(matrix=True, flops=6e11)  # at 60% of 1 TFLOP/s: one second
    assert seconds(one) == pytest.approx(1.0, rel=1e-4)
    assert seconds(one, tf32=True) == pytest.approx(0.25, rel=1e-4)
    assert seconds(replace(one, dtype="float16")) == pytest.approx(0.125, rel=1e-4)
    assert seconds(replace(one, dtype="bfloat16"), tf32=True) == pytest.approx(0.125, rel=1e-4)
    assert seconds(replace(one, dtype="float64"), tf32=True) == pytest.approx(2.0, rel=1e-4)


def test_tensor_cores_are_for_products_only() -> None:
    one = work(flops=1.5e11)  # 15% of 1 TFLOP/s
    assert seconds(one, tf32=True) == seconds(one) == pytest.approx(1.0, rel=1e-4)


def test_few_pieces_leave_multiprocessors_idle() -> None:
    wide = replace(BOARD, multiprocessors=100)
    one = work(matrix=True, flops=6e11, blocks=10)  # 1 + 0.5 * 100 / 10
    assert seconds(one, wide) == pytest.approx(6.0, rel=1e-4)


def test_what_fits_the_cache_does_not_go_to_memory() -> None:
    cached = replace(BOARD, cache_bytes=1e10)
    # a tenth of the cache: 1 / (1 + 25) of it is missed
    assert seconds(work(bytes_moved=1e9), cached) == pytest.approx(1.25 / 26 + 0.0173611, rel=1e-4)


def test_what_limits_an_operation() -> None:
    both = Columns.of([work(flops=1e15), work(bytes_moved=1e15)])
    assert compute_share(both, BOARD) == pytest.approx([1.0, 0.0], abs=1e-6)


sizes = st.floats(1.0, 1e15)


@given(
    flops=sizes,
    moved=sizes,
    blocks=st.floats(1.0, 1e9),
    more=st.floats(1.0, 1e3),
    matrix=st.booleans(),
    field=st.sampled_from(["fp32_flops", "bandwidth", "cache_bytes"]),
)
def test_never_faster_for_more_work_nor_slower_on_a_better_sheet(
    flops: float, moved: float, blocks: float, more: float, matrix: bool, field: str
) -> None:
    a100 = Specification.named("A100")
    one = work(flops=flops, bytes_moved=moved, blocks=blocks, matrix=matrix)
    slack = 1 + 1e-12
    assert seconds(replace(one, flops=flops * more), a100) * slack >= seconds(one, a100)
    assert seconds(replace(one, bytes_moved=moved * more), a100) * slack >= seconds(one, a100)
    better = replace(a100, **{field: getattr(a100, field) * more})
    assert seconds(one, better) <= seconds(one, a100) * slack


def test_a_product_is_counted_in_padded_tiles() -> None:
    read = work_of(operation("aten.mm", Kind.GEMM, [[100, 512], [512, 200]], ["T", "T"]))
    assert read.flops == 2 * 128 * 224 * 512  # sides padded to 32
    assert read.blocks == 2 * 4 * 2  # 64 x 64 tiles, k of 512 split in two
    assert (read.group, read.matrix) == ("gemm", True)
    assert work_of(operation("aten.mm", Kind.GEMM, [[100, 512], [512, 1]], ["T", "T"])).group == "gemv"


@pytest.mark.parametrize(
    ("weight", "attributes", "group", "flops"),
    [
        # weight, [stride, padding, dilation, transposed, output padding, groups], class, FLOPs; input 8 x 16 x 32 x 32
        # 3 x 3, stride 2, padding 1: 16 x 16 positions
        ([64, 16, 3, 3], [[2, 2], [1, 1], [1, 1], False, [0, 0], 1], "conv_2d", 2 * 8 * 256 * 64 * 144),
        ([64, 16, 1, 1], [[1, 1], [0, 0], [1, 1], False, [0, 0], 1], "conv_pointwise", 2 * 8 * 1024 * 64 * 16),
        ([16, 1, 3, 3], [[1, 1], [1, 1], [1, 1], False, [0, 0], 16], "conv_depthwise", 16 * 2 * 8 * 1024 * 9),
        # transposed, stride 2, kernel 2: 64 x 64 positions, each from 1 of 4 taps
        ([16, 32, 2, 2], [[2, 2], [0, 0], [1, 1], True, [0, 0], 1], "conv_transposed_2d", 2 * 8 * 4096 * 32 * 16),
        # 8 output channels are padded to 16
        ([8, 16, 3, 3], [[1, 1], [1, 1], [1, 1], False, [0, 0], 1], "conv_2d", 2 * 8 * 1024 * 16 * 144),
    ],
)  # fmt: skip
def test_convolutions_are_read_as_products(weight: list[int], attributes: list[Any], group: str, flops: float) -> None:
    shapes = [[8, 16, 32, 32], weight]
    read = work_of(operation("aten.convolution", Kind.CONVOLUTION, shapes, ["T", "T", None, *attributes]))
    assert (read.group, read.flops) == (group, flops)


def test_pieces_of_normalisations_and_rows() -> None:
    x = [16, 64, 8, 8]
    batch = work_of(operation("aten.native_batch_norm", Kind.NORMALISATION, [x, [64]], ["T", "T", None]))
    group = work_of(operation("aten.native_group_norm", Kind.NORMALISATION, [x], ["T", "T", "T", 16, 64, 64, 8, 1e-5]))
    layer = work_of(operation("aten.native_layer_norm", Kind.NORMALISATION, [x], ["T", [8, 8], "T", "T", 1e-5]))
    assert (batch.blocks, group.blocks, layer.blocks) == (64, 128, 1024)
    assert batch.bytes_moved == 3e6  # the input twice, the output once
    rows = work_of(operation("aten._softmax", Kind.SOFTMAX, [[100, 50]], ["T", -1, False]))
    assert (rows.blocks, rows.group) == (100, "softmax")


def test_a_recurrence_waits_for_every_step() -> None:
    record = operation(
        "aten._cudnn_rnn",
        Kind.RECURRENT,
        [[64, 10, 128], [2, 10, 256], [2, 10, 256], [1024, 128], [1024, 256], [1024], [1024, 256], [1024, 256]],
        ["lstm", True, 2, 0.0, False, False, False],
    )
    read = work_of(record)
    assert read.kernels == 2 * 64 * 2  # two launches a step and layer
    assert read.blocks == 32  # 10 samples padded to 32, 1024 gates in blocks of 32


def test_what_is_unknown_counts_as_elementwise() -> None:
    for record in (
        operation("custom.mystery", Kind.ELEMENTWISE, [[1000]], ["T"]),
        operation("aten.convolution", Kind.CONVOLUTION, [[3]], []),
        operation("aten.mm", Kind.GEMM, [], []),
    ):
        read = work_of(record)
        assert (read.group, read.bytes_moved, read.matrix) == (str(record.kind), 2e6, False)
        assert np.isfinite(read.shape).all()

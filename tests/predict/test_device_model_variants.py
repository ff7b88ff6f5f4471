"""What precision, memory format, pass and source do is learned apart, in worlds where each has a known share."""

import json
from dataclasses import replace

import numpy as np
import pytest

from kilowait.predict.device_model.efficiency import Terms, over_devices
from kilowait.predict.device_model.learned_weights import MeasuredTimes
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.work import READING, work_of
from kilowait.predict.device_model.workload import Workload
from kilowait.predict.dryrun.record import DryRun, Kind, Operation
from tests.support.operation_world import copy, product, whole_run

BOARD = Specification.named("A100")
TERMS = Terms(variant=0.3, variant_shape=0.3, variant_alike=0.2, source=0.2, host_source=0.2)


def convolution(channels: int, **changes: object) -> Operation:
    """3x3 over 32 images of 56 x 56, as many channels in as out."""
    shapes = [[32, channels, 56, 56], [channels, channels, 3, 3]]
    plain = Operation(
        op="aten.convolution",
        kind=Kind.CONVOLUTION,
        dtype="float16",
        device="cuda",
        count=1.0,
        flops=2.0 * 32 * 56 * 56 * channels * channels * 9,
        bytes_read=2.0 * (32 * channels * 56 * 56 + channels * channels * 9),
        bytes_written=2.0 * 32 * channels * 56 * 56,
        kernels=1,
        shapes=json.dumps(shapes),
        attributes=json.dumps(["T", "T", None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1]),
    )
    return replace(plain, **changes)


@pytest.mark.parametrize(
    ("changes", "dtype", "variant"),
    [
        ({"dtype": "float32"}, "tf32", "tf32"),  # PyTorch's default lets convolutions round
        ({"dtype": "float32", "precision": "ieee"}, "float32", ""),
        ({"dtype": "bfloat16", "layout": "channels_last"}, "bfloat16", "half/channels_last"),
        ({"dtype": "float64"}, "float64", "float64"),
    ],
)
def test_a_convolution_is_read_in_its_precision_and_format(changes: dict[str, str], dtype: str, variant: str) -> None:
    work = work_of(convolution(64, **changes), READING)
    assert (work.dtype, work.variant) == (dtype, variant)


def test_products_in_float32_are_rounded_only_where_the_program_says_so() -> None:
    plain = product(512)
    assert work_of(plain, READING).dtype == "float32"
    assert work_of(replace(plain, precision="tf32"), READING).dtype == "tf32"
    assert work_of(replace(plain, backward=True), READING).variant.endswith("backward")


def test_tensor_cores_do_not_serve_depthwise_convolutions() -> None:
    attributes = json.dumps(["T", "T", None, [1, 1], [1, 1], [1, 1], False, [0, 0], 64])
    depthwise = convolution(64, shapes=json.dumps([[32, 64, 56, 56], [64, 1, 3, 3]]), attributes=attributes)
    assert not work_of(depthwise, READING).matrix
    assert work_of(convolution(64), READING).matrix


@pytest.mark.parametrize(("wanted", "products"), [([True, True, False], 2), ([False, True, True], 1)])
def test_gradients_of_a_convolution_are_products_of_its_own_size(wanted: list[bool], products: int) -> None:
    """Whatever FLOPs the record says: older records counted grouped ones as dense."""
    attributes = ["T", "T", "T", [0], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted]
    shapes = [[32, 64, 56, 56], [32, 64, 56, 56], [64, 64, 3, 3]]
    forward = work_of(convolution(64), READING)
    gradients = work_of(
        convolution(
            64, op="aten.convolution_backward", shapes=json.dumps(shapes), attributes=json.dumps(attributes), flops=1e20
        ),
        READING,
    )
    assert gradients.flops == products * forward.flops
    assert gradients.group == f"{forward.group}_backward"


def runs_of(seed: int, count: int = 12, **changes: object) -> list[DryRun]:
    """Programs of one convolution, of different widths."""
    widths = np.random.default_rng(seed).integers(8, 64, count) * 8
    text = json.dumps(changes, default=str)
    return [whole_run(f"{seed}-{i}-{text}", convolution(int(w), **changes)) for i, w in enumerate(widths)]


def true_s(run: DryRun, share: float) -> float:
    return run.operations[0].flops / (share * BOARD.half_flops)


def fitted(groups: list[tuple[list[DryRun], Specification, float]], **options: object) -> DeviceModel:
    """A model of programs on boards, each at a share of the peak rate."""
    boards = list(dict.fromkeys(board for _, board, _ in groups))
    runs = {run.content_hash: run for part, _, _ in groups for run in part}
    names = list(runs)
    rows = [
        (names.index(r.content_hash), boards.index(b), np.log(true_s(r, share))) for p, b, share in groups for r in p
    ]
    program, board, log_s = (np.array(column) for column in zip(*rows, strict=True))
    measured = MeasuredTimes(program, board, log_s)
    return DeviceModel.fit(list(runs.values()), boards, measured, terms=TERMS, reading=READING, **options)


def ratio(model: DeviceModel, runs: list[DryRun], board: Specification, share: float) -> float:
    """The median of predicted over true times of programs that the model has not seen."""
    log_s = model.predict(runs, [board]).log_s[:, 0]
    return float(np.exp(np.median(log_s - np.log([true_s(run, share) for run in runs]))))


def test_memory_formats_have_efficiencies_of_their_own() -> None:
    model = fitted([(runs_of(1), BOARD, 0.3), (runs_of(2, layout="channels_last"), BOARD, 0.6)], radius=0.5)
    assert ratio(model, runs_of(3), BOARD, 0.3) == pytest.approx(1, abs=0.1)
    assert ratio(model, runs_of(4, layout="channels_last"), BOARD, 0.6) == pytest.approx(1, abs=0.1)


def test_what_is_a_sources_own_is_not_everybodys() -> None:
    slow, quick = replace(BOARD, source="slow"), replace(BOARD, source="quick")
    model = fitted([(runs_of(1), slow, 0.3), (runs_of(2), quick, 0.5)])
    new = runs_of(3)
    assert ratio(model, new, slow, 0.3) == pytest.approx(1, abs=0.1)
    assert ratio(model, new, quick, 0.5) == pytest.approx(1, abs=0.1)
    in_between = ratio(model, new, BOARD, 0.3)
    assert 0.6 < in_between < 1


def test_a_host_that_a_type_was_measured_with_tells_of_that_type_in_other_hands() -> None:
    """Of programs that their host limits the order of two types is the order of the hosts that they come with."""
    boards = [replace(Specification.named(name), source="one") for name in ("A100", "A6000")]
    runs = [whole_run(f"{n} copies", copy(64, count=float(n))) for n in (200, 400, 800, 1600)]
    rows = [(p, b, np.log(run.operations[0].count * (1e-5, 2e-5)[b])) for p, run in enumerate(runs) for b in (0, 1)]
    measured = MeasuredTimes(*(np.array(column) for column in zip(*rows, strict=True)))
    elsewhere = [replace(board, source="") for board in boards]
    for told, host_type in ((1.0, 0.0), (2.0, 0.5)):
        terms = replace(TERMS, host_type=host_type)
        model = DeviceModel.fit(runs, boards, measured, terms=terms, reading=READING)
        quick, slow = np.exp(model.predict([whole_run("new", copy(64, count=600.0))], elsewhere).log_s[0])
        assert told**0.5 - 0.05 < slow / quick < told + 0.05


def test_a_host_of_single_operators_tells_nothing_of_that_type_in_other_hands() -> None:
    boards = [replace(Specification.named("A100"), source=source) for source in ("one", "two")]
    alone = [replace(board, alone=True) for board in boards]
    for devices, told in ((boards, 1.0), (alone, 0.0)):
        assert over_devices(TERMS, devices[:1], devices[1:])["type"].item() == told
        assert over_devices(TERMS, devices[:1], devices[:1])["type"].item() == 1.0


def test_one_row_that_is_far_off_does_not_move_a_robust_fit() -> None:
    runs = runs_of(1)
    groups = [(runs[:-1], BOARD, 0.4), (runs[-1:], BOARD, 0.02)]
    plain, robust = (abs(np.log(ratio(fitted(groups, robust=r), runs_of(3), BOARD, 0.4))) for r in (False, True))
    assert robust < 0.1
    assert robust < plain


def test_marks_cover_all_works_and_each_keeps_its_own_size() -> None:
    runs = runs_of(1, count=40)
    every, covered = (Workload.of(runs, reading=READING, radius=radius) for radius in (0.0, 1.0))
    assert len(covered.marks) < len(every.marks) == every.size
    assert covered.columns.flops.tolist() == every.columns.flops.tolist()
    assert all(covered.marks[covered.mark[u]].group == work.group for u, work in enumerate(covered.columns.works))


def test_a_model_keeps_what_it_learned_through_its_description() -> None:
    model = replace(fitted([(runs_of(1), replace(BOARD, source="one"), 0.3)]), doubt=(1.0, 2.0, 3.0, 4.0))
    again = DeviceModel.restored(json.loads(json.dumps(model.description())), model.tensors())
    new = runs_of(2)
    told, before = again.predict(new, [BOARD]), model.predict(new, [BOARD])
    assert told.log_s.tolist() == before.log_s.tolist()
    assert told.sigma.tolist() == before.sigma.tolist()


def test_a_compact_model_says_the_same_in_half_the_room() -> None:
    model = fitted([(runs_of(1), BOARD, 0.3)])
    compact = model.compact()
    again = DeviceModel.restored(json.loads(json.dumps(compact.description())), compact.tensors())
    new = runs_of(2)
    assert again.predict(new, [BOARD]).log_s == pytest.approx(model.predict(new, [BOARD]).log_s, abs=2e-3)
    assert 2 * compact.tensors()["device"].nbytes == model.tensors()["device"].nbytes
    assert not again.programs

"""What the device model learns, and what it must never say."""

import itertools
import json
import math

import numpy as np
import pytest

from kilowait.core.errors import InputError, ModelError
from kilowait.core.jobs import Provenance
from kilowait.predict.device_model.efficiency import Terms
from kilowait.predict.device_model.learned_weights import MeasuredTimes
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dryrun.record import Completeness, DryRun, Kind, Operation
from tests.support.operation_world import copy, product, whole_run

TYPES = tuple(Specification.named(name) for name in ("A100", "A6000", "H100", "T4"))
TRUE_SHARE = {"product": 0.75, "copy": 0.5}
"""Of the peak rates, in the synthetic world: products reach 75% of FLOP/s everywhere, copies half the bandwidth."""


def world(count: int, seed: int) -> tuple[list[DryRun], np.ndarray]:
    """Programs of a product and some copies, and their true seconds (P, types)."""
    rng = np.random.default_rng(seed)
    runs, seconds = [], []
    for p in range(count):
        side, numbers, copies = int(rng.integers(2048, 8192)), int(rng.integers(10**8, 10**9)), int(rng.integers(1, 9))
        runs.append(whole_run(f"program-{seed}-{p}", product(side), copy(numbers, copies)))
        seconds.append(
            [
                2 * side**3 / (TRUE_SHARE["product"] * d.fp32_flops)
                + copies * 8 * numbers / (TRUE_SHARE["copy"] * d.bandwidth)
                for d in TYPES
            ]
        )
    return runs, np.array(seconds)


def fitted(runs: list[DryRun], seconds: np.ndarray, types: tuple[Specification, ...], **terms: float) -> DeviceModel:
    program, device = (index.ravel() for index in np.indices(seconds.shape))
    return DeviceModel.fit(
        runs, types, MeasuredTimes(program, device, np.log(seconds).ravel()), terms=Terms(**terms) if terms else None
    )


@pytest.fixture(scope="module")
def learned() -> DeviceModel:
    runs, seconds = world(30, seed=1)
    return fitted(runs, seconds, TYPES)


def worst(model: DeviceModel, seed: int, types: tuple[Specification, ...] = TYPES) -> float:
    runs, seconds = world(10, seed)
    truth = seconds[:, [TYPES.index(t) for t in types]]
    return float(np.abs(np.exp(model.predict(runs, types).log_s) / truth - 1).max())


def test_unseen_programs_of_a_known_world(learned: DeviceModel) -> None:
    assert worst(learned, seed=2) < 0.05


@pytest.mark.parametrize("left_out", range(len(TYPES)))
def test_a_type_without_a_measurement(left_out: int) -> None:
    runs, seconds = world(30, seed=1)
    others = [i for i in range(len(TYPES)) if i != left_out]
    model = fitted(runs, seconds[:, others], tuple(TYPES[i] for i in others))
    assert worst(model, seed=2, types=(TYPES[left_out],)) < 0.3
    assert model.provenance(TYPES[left_out]) == Provenance.MODELLED
    assert model.provenance(TYPES[others[0]]) == Provenance.ESTIMATED


def test_doubt_grows_for_what_was_never_seen(learned: DeviceModel) -> None:
    unlike = Operation(
        op="aten.sort",
        kind=Kind.SCAN,
        dtype="float32",
        device="cuda",
        count=1.0,
        flops=1e9,
        bytes_read=4e9,
        bytes_written=4e9,
        kernels=2,
        shapes="[[1000000000]]",
        attributes='["T", 0]',
    )
    known, _ = world(1, seed=1)
    sigma = learned.predict([known[0], whole_run("other", unlike)], TYPES[:1]).sigma
    assert sigma[1, 0] > 2 * sigma[0, 0]
    new_type = Specification.named("B200")
    assert learned.predict(known, (new_type,)).sigma[0, 0] > sigma[0, 0]


def test_calling_everything_more_often_is_never_faster(learned: DeviceModel) -> None:
    times = [learned.predict([whole_run("p", copy(10**6, count))], TYPES).log_s for count in (1, 2, 3, 1000)]
    assert all((later > earlier).all() for earlier, later in itertools.pairwise(times))


def test_a_program_without_operations_takes_its_hosts_start(learned: DeviceModel) -> None:
    seconds = np.exp(learned.predict([whole_run("empty")], TYPES).log_s)
    assert (seconds > 1e-6).all()
    assert (seconds < 1e-3).all()


def test_measurements_of_a_program_anchor_it_on_other_types() -> None:
    runs, seconds = world(20, seed=3)
    odd, truth = whole_run("odd", product(4000), copy(3 * 10**8)), 1.5
    plain = fitted(runs, seconds, TYPES, program=0.3)
    base = np.exp(plain.predict([odd], TYPES).log_s)[0]
    program = np.append(np.repeat(np.arange(20), 4), [20, 20])
    device = np.append(np.tile(np.arange(4), 20), [0, 1])
    log_s = np.append(np.log(seconds).ravel(), np.log(truth * base[:2]))
    anchored = DeviceModel.fit([*runs, odd], TYPES, MeasuredTimes(program, device, log_s), terms=Terms(program=0.3))
    lifted = np.exp(anchored.predict([odd], TYPES).log_s)[0] / base
    assert (lifted[2:] > 1.25).all()
    assert (lifted[2:] < 1.7).all()


def test_it_comes_back_from_json_and_arrays(learned: DeviceModel) -> None:
    described = json.loads(json.dumps(learned.description()))
    back = DeviceModel.restored(described, learned.tensors())
    runs, _ = world(3, seed=5)
    new = Specification.named("L4")
    assert np.array_equal(back.predict(runs, (*TYPES, new)).log_s, learned.predict(runs, (*TYPES, new)).log_s)


def test_parts_that_do_not_fit_are_refused(learned: DeviceModel) -> None:
    described, arrays = learned.description(), learned.tensors()
    with pytest.raises(ModelError, match="device has shape"):
        DeviceModel.restored(described, {**arrays, "device": arrays["device"][:, :1]})
    with pytest.raises(ModelError, match="not a device model"):
        DeviceModel.restored({**described, "terms": {"kin": -1.0}}, arrays | {"shape": None})


def test_nothing_is_learned_from_what_cannot_be() -> None:
    runs, seconds = world(2, seed=1)
    nothing = DryRun(content_hash="x", target="cuda", completeness=Completeness.FAILED, reason="no")
    with pytest.raises(InputError, match="x: its dry run is not usable"):
        fitted([nothing], seconds[:1], TYPES)
    seconds[0, 0] = math.inf
    with pytest.raises(InputError, match="all finite"):
        fitted(runs, seconds, TYPES)
    with pytest.raises(InputError, match="noise must be > 0"):
        Terms(noise=0.0)

"""A job that would run out of memory wherever it may run is refused at submission, unless it is forced."""

import asyncio
from unittest.mock import AsyncMock, Mock

import numpy as np
import pytest

from kilowait.core.jobs import Prediction
from kilowait.predict.board_memory.memory_need import MemoryNeed
from serve.desk.answers import refuse_what_fits_nowhere
from serve.desk.desk import Desk
from serve.desk.predictor_replica import Told
from serve.wire.problems import Refusal, problem
from serve.wire.schemas import MemoryNeedView, SubmissionBody

GIB = 2**30


def need(low: float, high: float, available: float) -> MemoryNeed:
    parts = {"parameters": 1.0 * GIB, "activations": ((low + high) / 2 - 1) * GIB}
    return MemoryNeed(
        low=low * GIB, expected=(low + high) / 2 * GIB, high=high * GIB, available=available * GIB, parts=parts
    )


LARGE = {"RTX-3090": need(50, 58, 23.6), "A100": need(50, 58, 39.4)}
CLOSE = {**LARGE, "A100-80GB": need(76, 84, 78.8)}


@pytest.mark.parametrize(
    ("needs", "allowed", "there"),
    [
        (CLOSE, None, ["RTX-3090", "A100-80GB"]),
        (LARGE, None, ["RTX-3090", "H100"]),  # nothing is known of it on an H100
        (LARGE, frozenset({"H100"}), ["RTX-3090"]),  # that no such type is there others say
        ({}, None, ["RTX-3090"]),
        (LARGE, None, []),
    ],
)
def test_what_may_fit_somewhere_is_not_refused(needs, allowed, there):
    refuse_what_fits_nowhere(needs, allowed, there)


@pytest.mark.parametrize("allowed", [None, frozenset({"A100"}), frozenset({"RTX-3090", "A100-80GB"})])
def test_what_fits_no_type_that_it_may_use_is_refused_with_the_table(allowed):
    there = ["RTX-3090", "A100"] if allowed is None else sorted(allowed - {"A100-80GB"})
    with pytest.raises(Refusal) as refused:
        refuse_what_fits_nowhere(CLOSE, allowed, there)
    told = problem(refused.value)
    assert (told.status, told.title, told.field) == (422, "does not fit", "force")
    assert "needs 54 GiB on one GPU (50 to 58), most of it activations (53)" in told.detail
    assert "--force" in told.remedy
    assert [row["gpu_type"] for row in told.errors] == there
    assert {row["fitting"] for row in told.errors} == {"does not fit"}
    assert told.errors[0]["parts_gib"] == "parameters 1, activations 53"


def test_a_need_crosses_the_wire():
    view = MemoryNeedView(**LARGE["A100"].to_dict())
    assert (view.fitting, view.fits, view.expected_bytes) == ("does not fit", False, 54 * GIB)
    assert view.provenance == "modelled"


@pytest.fixture
def desk(monkeypatch):
    """A desk whose predictor says that nothing fits a cluster of A100."""
    desk = Desk(Mock(), Mock())
    by_type = {"A100": Prediction(runtime_s=1.0, energy_kwh=1.0, probe_version="v", features="f")}
    told = Told(version="v", predictions=by_type, vector=np.zeros(2), memory={}, dry_run="whole", memory_needs=LARGE)
    monkeypatch.setattr(desk, "types", AsyncMock(return_value=("A100",)))
    monkeypatch.setattr(desk, "_predicted", AsyncMock(return_value=(by_type, told, None)))
    return desk


def test_force_and_what_if_go_through_and_a_submission_does_not(desk):
    def asked(only_asking=False, **fields):
        body = SubmissionBody(source="import torch\n", **fields)
        return asyncio.run(desk.request(body, "ada", "key", only_asking=only_asking))

    with pytest.raises(Refusal, match="54 GiB"):
        asked()
    assert asked(force=True)[0].job.user == asked(only_asking=True)[0].job.user == "ada"

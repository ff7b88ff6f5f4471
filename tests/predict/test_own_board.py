"""A site's own board: factors that were planted are found, predictions follow them, and say whose they are."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kilowait.core import hardware
from kilowait.core.errors import InputError
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.own_board import OwnBoard, pretended_seconds
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.work import READING
from kilowait.predict.gpu_types import GpuPredictor
from tests.support.operation_world import copy, whole_run

SHEET = Specification.named("A100")
MANY = [whole_run(f"{n} launches", copy(64, count=float(n))) for n in (50, 100, 200, 400, 800)]
LARGE = [whole_run(f"{n} numbers", copy(n)) for n in (10**7, 3 * 10**7, 10**8, 3 * 10**8, 10**9)]


@pytest.fixture(scope="module")
def predictor() -> GpuPredictor:
    return GpuPredictor.load_default()


def log_s(model: DeviceModel, sheet: Specification) -> list[float]:
    return model.predict([MANY[-1], LARGE[-1]], [sheet]).log_s[:, 0].tolist()


def test_launches_and_operations_follow_the_factors_apart(predictor: GpuPredictor) -> None:
    launches, operations = log_s(predictor.model, SHEET)
    own = replace(SHEET, host_factor=2.0, device_factor=0.5)
    found = log_s(predictor.model, own)
    assert found == [pytest.approx(launches + np.log(2), abs=0.02), pytest.approx(operations - np.log(2), abs=0.02)]
    assert predictor.model.reading == READING
    told, plain = (predictor.model.predict(MANY[-1:], [sheet]).sigma[0, 0] for sheet in (own, SHEET))
    assert told < plain


@pytest.mark.parametrize("factors", [(1.6, 1.15), (0.6, 0.9)])
def test_planted_factors_are_found_though_one_program_is_far_off(
    predictor: GpuPredictor, factors: tuple[float, float]
) -> None:
    runs = [*MANY, *LARGE]
    seconds = pretended_seconds(predictor.model, SHEET, runs, factors)
    seconds[3] *= 5
    found = OwnBoard.of(predictor.model, SHEET, runs, seconds)
    assert (found.host_factor, found.device_factor) == pytest.approx(factors, rel=0.05)
    assert found.error_after < 0.05


@pytest.mark.parametrize("seconds", [[1.0, 1.0, 1.0], [1.0, 0.0, 1.0, 1.0], [1.0, np.nan, 1.0, 1.0]])
def test_what_tells_no_board_is_refused(predictor: GpuPredictor, seconds: list[float]) -> None:
    with pytest.raises(InputError, match="four programs or more"):
        OwnBoard.of(predictor.model, SHEET, MANY[: len(seconds)], np.array(seconds))


@pytest.fixture
def site_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv(hardware.SITE_FILE, raising=False)
    yield tmp_path / "gpus.toml"
    os.environ.pop(hardware.SITE_FILE, None)
    hardware._catalogue.cache_clear()


def test_predictions_say_whose_factors_they_hold(predictor: GpuPredictor, site_file: Path) -> None:
    site_file.write_text('[A100]\nhost_factor = 1.5\ndevice_factor = 1.1\nfactor_provenance = "pretended"\n')
    plain = predictor.predict(MANY[-1], ["A100"])["A100"].runtime_s
    assert "factors" not in predictor.provenance("A100")
    hardware.use_site_file(site_file)
    assert predictor.predict(MANY[-1], ["A100"])["A100"].runtime_s == pytest.approx(1.5 * plain, rel=0.02)
    assert predictor.provenance("A100").endswith("factors of this site's own board pretended")
    assert "factors" not in predictor.provenance("H100")

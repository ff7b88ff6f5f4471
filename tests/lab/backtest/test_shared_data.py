"""Checks against public measurements, in the folder KILOWAIT_SHARED_DATA names; skipped where there is none."""

import pytest

from kilowait.lab.backtest.scenario.class_checks import checks
from kilowait.lab.backtest.scenario.job_classes import CALIBRATED, CALIBRATED_DRAFT

pytestmark = pytest.mark.shared_data


@pytest.fixture
def measurements(shared_data):
    return shared_data("measurements")


def test_every_calibrated_number_lies_within_what_was_measured(measurements):
    found = checks(measurements, CALIBRATED)
    assert len(found) >= 9
    assert [(c.job_class, c.quantity, c.table, c.median) for c in found if not c.inside] == []


def test_the_draft_was_corrected_where_the_data_said_otherwise(measurements):
    outside = {(c.job_class, c.quantity) for c in checks(measurements, CALIBRATED_DRAFT) if not c.inside}
    assert outside >= {("launch-bound", "a6000_w"), ("heavy mixed precision", "a6000_w")}


def test_heavy_training_takes_longer_and_more_energy_on_ga102(measurements):
    by_key = {(c.job_class, c.quantity): c for c in checks(measurements, CALIBRATED)}
    time = by_key["heavy mixed precision", "a6000_factor"]
    watts = {t: by_key["heavy mixed precision", f"{t}_w"].median for t in ("a100", "a6000")}
    assert time.low > 1.4
    assert time.low * watts["a6000"] / watts["a100"] > 1.2


def test_fp32_matrix_products_are_faster_on_ga102(measurements):
    by_key = {(c.job_class, c.quantity): c for c in checks(measurements, CALIBRATED)}
    assert by_key["fp32 without TF32", "a6000_factor"].high < 0.9

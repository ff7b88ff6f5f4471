"""Layer-wise baselines on dry runs that the test writes: what they add up, and what they learn."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from kilowait.core.errors import InputError
from kilowait.core.hardware import CATALOGUE
from kilowait.lab.evaluate import layers
from kilowait.lab.evaluate.held_out import held_out
from kilowait.lab.evaluate.layers import (
    device_features,
    layers_of,
    perceptron_recipe,
    polynomial_recipe,
    polynomial_terms,
)
from kilowait.predict.accuracy import accuracy
from kilowait.predict.dryrun.record import Completeness, Kind
from tests.support.operation_world import dry_run_of, operation
from tests.support.study_world import inputs_of, rounds_of, study_of

FLOPS_S, BYTES_S, LAUNCH_S = 1e12, 1e11, 1e-5


def planted(scripts=120, types=2):
    """Products take FLOPs / 1e12 s, copies bytes / 1e11 s, all 10 us a launch; the second type takes twice as long."""
    rng = np.random.default_rng(0)
    runs, times = [], []
    for i in range(scripts):
        flops, volume, copies = 10 ** rng.uniform(8, 11), 10 ** rng.uniform(6, 9), int(rng.integers(1, 6))
        runs.append(dry_run_of(f"s{i:04}", [operation(Kind.GEMM, flops, 1e6), operation(Kind.COPY, 0, volume, copies)]))
        times.append(flops / FLOPS_S + copies * volume / BYTES_S + (1 + copies) * LAUNCH_S)
    study = study_of(np.outer(times, np.arange(1, types + 1)))
    return replace(inputs_of(study), dry_runs={run.content_hash: run for run in runs})


def test_the_terms_of_two_layers_by_hand():
    """Two calls of one product on tensors of 20 and 3 numbers, 400 bytes of which 100 are written, 7 FLOPs."""
    inputs = inputs_of(study_of(np.ones((2, 1))))
    runs = {"s0000": dry_run_of("s0000", [operation(Kind.GEMM, 7, 400, count=2)]), "s0001": None}
    found = layers_of(replace(inputs, dry_runs=runs))
    assert found.read.tolist() == [True, False]
    table = polynomial_terms(found, 2).reshape(2, len(layers.KINDS), 12)
    once = [1, 20, 3, 100, 400, 60, 2000, 9, 300, 10_000, 7, 400]
    assert table[0, layers.KINDS.index(Kind.GEMM)].tolist() == [2 * term for term in once]
    assert table.sum() == 2 * sum(once)


def test_polynomials_of_layers_recover_what_layers_take():
    inputs = planted()
    found = held_out(polynomial_recipe, inputs, "runtime_s", rounds_of(inputs.study, 4), calibrate=False)
    got = accuracy(inputs.study.metrics["runtime_s"], found.predicted)
    assert got.median_ape < 0.05
    assert got.r2_log > 0.98


def test_a_perceptron_of_layers_learns_what_layers_take(monkeypatch):
    monkeypatch.setattr(layers, "STEPS", 150)
    inputs = planted()
    found = held_out(perceptron_recipe(0), inputs, "runtime_s", rounds_of(inputs.study, 2), calibrate=False)
    got = accuracy(inputs.study.metrics["runtime_s"], found.predicted)
    assert got.r2_log > 0.9


def test_the_sum_over_layers_makes_two_equal_layers_take_twice_as_long(monkeypatch):
    """Whatever the weights: a script whose layer is called twice takes twice as long as the one that calls it once."""
    monkeypatch.setattr(layers, "STEPS", 5)
    inputs = inputs_of(study_of(np.array([[1.0], [2.0], [3.0], [4.0]])))
    runs = {
        f"s{i:04}": dry_run_of(f"s{i:04}", [operation(Kind.GEMM, 10.0**i, 1e3, count)])
        for i, count in ((0, 1.0), (1, 1.0), (2, 1.0))
    }
    runs["s0003"] = dry_run_of("s0003", [operation(Kind.GEMM, 10.0**2, 1e3, 2.0)])
    mask = np.ones(4, dtype=bool)
    (got,) = perceptron_recipe(0)(replace(inputs, dry_runs=runs), "runtime_s", [mask])
    assert got.predicted[3] / got.predicted[2] == pytest.approx(2, rel=1e-5)


def test_programs_without_a_dry_run_get_the_mean_and_are_marked(monkeypatch):
    monkeypatch.setattr(layers, "STEPS", 5)
    inputs = planted(scripts=20, types=1)
    runs = dict(inputs.dry_runs)
    runs["s0003"] = None
    runs["s0004"] = dry_run_of("s0004", [], Completeness.FAILED)
    y = inputs.study.metrics["runtime_s"]
    known = np.delete(y, [3, 4])
    for recipe in (polynomial_recipe, perceptron_recipe(0)):
        (got,) = recipe(replace(inputs, dry_runs=runs), "runtime_s", [np.ones(20, dtype=bool)])
        assert np.flatnonzero(got.wide).tolist() == [3, 4]
        assert got.predicted[[3, 4]] == pytest.approx(np.exp(np.log(known).mean()), rel=1e-5)


def test_no_dry_run_at_all_is_a_mistake():
    with pytest.raises(InputError, match="no script has one"):
        layers_of(inputs_of(study_of(np.ones((2, 1)))))


def test_devices_enter_by_their_data_sheets_or_by_name_where_one_has_none():
    study = replace(study_of(np.ones((2, 2))), device_types=("A100", "T4"))
    sheets = replace(inputs_of(study), devices={name: CATALOGUE[name] for name in study.device_types})
    ratio = (device_features(sheets)[0] - device_features(sheets)[1]).exp()
    # fp32 19.5 and 8.1, tensor 312 and 65 TFLOP/s, 1555 and 320 GB/s, 40 and 16 GB
    torch.testing.assert_close(ratio, torch.tensor([19.5 / 8.1, 4.8, 1555 / 320, 2.5]), rtol=1e-4, atol=0)
    named = replace(sheets, devices={**sheets.devices, "T4": None})
    torch.testing.assert_close(device_features(named), torch.eye(2))

"""Scales of the device model chosen by evidence, and what a new type's doubt is made of."""

import dataclasses
import json

import numpy as np
import pytest

from kilowait.core.hardware import CATALOGUE
from kilowait.lab.evaluate.cross_validation import Inputs
from kilowait.lab.evaluate.operation_times import nested_recipe
from kilowait.predict.device_model import choose
from kilowait.predict.device_model.fit import FitProblem
from kilowait.predict.device_model.learned_weights import MeasuredTimes
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.workload import Workload
from tests.support.operation_world import copy_run
from tests.support.study_world import TYPES, study_of_runs


def noisy(spread):
    """16 copies at 70% of the bandwidth of three types, each run time off by a factor of exp(spread * normal)."""
    runs = [copy_run(f"p{i}", int(n)) for i, n in enumerate(np.geomspace(5e7, 1e9, 16))]
    volume = np.array([8.0 * json.loads(r.operations[0].shapes)[0][0] for r in runs])
    seconds = volume[:, None] / (0.7 * np.array([CATALOGUE[t].bandwidth for t in TYPES]))
    return runs, seconds * np.exp(spread * np.random.default_rng(0).normal(size=seconds.shape))


def rows(seconds):
    program, device = (index.ravel() for index in np.indices(seconds.shape))
    return MeasuredTimes(program, device, np.log(seconds.ravel()))


def test_chosen_scales_are_more_probable_and_see_the_noise_that_was_planted(monkeypatch):
    monkeypatch.setattr(choose, "FACTORS", (2.0,))
    monkeypatch.setattr(choose, "TOGETHER", (("noise", "host_noise"), ("shape",)))
    sheets, found = [Specification.named(t) for t in TYPES], {}
    for spread in (0.01, 0.6):
        runs, seconds = noisy(spread)
        terms = choose.chosen_terms(runs, sheets, rows(seconds), seed=0)
        load = Workload.of(runs)
        fits = [FitProblem(load=load, devices=sheets, measured=rows(seconds), terms=t) for t in (terms, choose.START)]
        chosen, start = (fit.solve().evidence for fit in fits)
        assert chosen >= start
        found[spread] = terms.noise
    assert found[0.01] < choose.START.noise < found[0.6]


def test_every_training_set_chooses_from_its_own_labels(monkeypatch):
    monkeypatch.setattr(choose, "FACTORS", (2.0,))
    monkeypatch.setattr(choose, "TOGETHER", (("noise", "host_noise"),))
    runs, seconds = noisy(0.05)
    study = study_of_runs(runs, TYPES, seconds.copy())
    inputs = Inputs(
        study=study, embeddings={}, texts=[], dry_runs={r.content_hash: r for r in runs}, devices=dict(CATALOGUE)
    )
    train = study.script % 4 != 0
    (before,) = nested_recipe(0)(inputs, "runtime_s", [train])
    study.metrics["runtime_s"][~train] *= 50
    (after,) = nested_recipe(0)(inputs, "runtime_s", [train])
    assert np.array_equal(before.predicted, after.predicted)
    truth = seconds.ravel()[~train]
    assert np.abs(np.log(before.predicted[~train] / truth)).mean() < 0.2


@pytest.fixture(scope="module")
def model():
    runs, seconds = noisy(0.02)
    sheets = [Specification.named(t) for t in TYPES]
    return DeviceModel.fit(runs, sheets, rows(seconds))


def test_an_operation_whose_host_time_was_never_measured_is_doubted(model):
    """A launch so short that the host limits it: of the copies that were measured, and of an operator that was not."""
    known, other = copy_run("known", 10), copy_run("other", 10)
    other = replace_operator(other, "aten.cumsum")
    sigma = model.predict([known, other], [Specification.named("A100")]).sigma[:, 0]
    assert sigma[1] > sigma[0] + 0.1


def test_a_new_types_host_is_doubted_where_the_host_limits_and_its_device_by_distance(model):
    short, long = copy_run("short", 10), copy_run("long", int(5e8))
    near, far = (Specification.named(name) for name in ("A10G", "B200"))
    new, old = model.predict([short, long], [near, far]).sigma, model.predict([short, long], [model.devices[0]]).sigma
    assert (new > old).all()
    assert new[0, 0] > 3 * old[0, 0]  # the host is unknown, and it is all that the short program waits for
    assert new[1, 1] > new[1, 0]  # B200 is less like the three that were measured than A10G


def replace_operator(dry_run, op):
    (operation,) = dry_run.operations
    return dataclasses.replace(dry_run, operations=(dataclasses.replace(operation, op=op, kind="scan"),))


def test_blocks_of_works_do_not_change_a_prediction(model, monkeypatch):
    runs = [copy_run(f"q{i}", int(n)) for i, n in enumerate(np.geomspace(1e6, 1e9, 9))]
    whole = model.predict(runs, model.devices)
    monkeypatch.setattr("kilowait.predict.device_model.model.BLOCK", 2)
    parts = model.predict(runs, model.devices)
    assert np.allclose(whole.log_s, parts.log_s)
    assert np.allclose(whole.sigma, parts.sigma)

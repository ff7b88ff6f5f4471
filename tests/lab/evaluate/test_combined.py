"""The device model on a study's labels: folds, new types, programs without a dry run, and what it refuses."""

import dataclasses
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kilowait.core.errors import InputError, ModelError
from kilowait.core.hardware import CATALOGUE
from kilowait.lab.evaluate import operation_times
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.lab.evaluate.operation_times import Fits, Programs, by_operations
from kilowait.predict.device_model import model_files
from kilowait.predict.device_model.learned_weights import MeasuredTimes
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.workload import Workload
from kilowait.predict.dryrun.record import Completeness
from tests.support.operation_world import copy_run
from tests.support.study_world import TYPES, study_of_runs


@pytest.fixture
def world() -> tuple[Programs, Dataset]:
    """Copies of 0.4 to 8 GB at 70% of the sheet's bandwidth on every type."""
    runs = [copy_run(f"p{i}", int(n)) for i, n in enumerate(np.geomspace(5e7, 1e9, 24))]
    seconds = np.array(
        [[8 * json.loads(r.operations[0].shapes)[0][0] / (0.7 * CATALOGUE[t].bandwidth) for t in TYPES] for r in runs]
    )
    programs = Programs(dry_runs={r.content_hash: r for r in runs}, devices={t: CATALOGUE[t] for t in TYPES})
    return programs, study_of_runs(runs, TYPES, seconds)


def test_programs_and_types_left_out_are_predicted(world: tuple[Programs, Dataset]) -> None:
    programs, study = world
    unseen = study.script % 4 == 0
    no_t4 = study.device != TYPES.index("T4")
    by_program, both = by_operations(programs, study, "runtime_s", [~unseen, ~unseen & no_t4])
    error = np.abs(by_program.predicted / study.metrics["runtime_s"] - 1)
    assert error[unseen].max() < 0.05
    error = np.abs(both.predicted / study.metrics["runtime_s"] - 1)
    assert error[unseen & ~no_t4].max() < 0.3
    assert (both.sigma[~no_t4] > both.sigma[no_t4].max()).all()
    assert not by_program.wide.any()


def test_the_labels_outside_the_mask_do_not_matter(world: tuple[Programs, Dataset]) -> None:
    programs, study = world
    train = study.script % 4 != 0
    (before,) = by_operations(programs, study, "runtime_s", [train])
    study.metrics["runtime_s"][~train] = np.nan
    (after,) = by_operations(programs, study, "runtime_s", [train])
    assert np.array_equal(before.predicted, after.predicted)


def test_fits_are_shared_until_another_study_asks(world: tuple[Programs, Dataset], monkeypatch) -> None:
    programs, study = world
    train, fits, fitted = study.script % 4 != 0, Fits(), []
    fit = operation_times._fitted
    monkeypatch.setattr(operation_times, "_fitted", lambda *asked: fitted.append(asked) or fit(*asked))
    first, second = (by_operations(programs, study, "runtime_s", [train], None, fits)[0] for _ in range(2))
    assert np.array_equal(first.predicted, second.predicted)
    assert len(fitted) == 1
    by_operations(programs, study, "runtime_s", [~train], None, fits)
    assert len(fitted) == 2
    slower = replace(study, metrics={"runtime_s": 2 * study.metrics["runtime_s"]})
    (third,) = by_operations(programs, slower, "runtime_s", [train], None, fits)
    assert len(fitted) == 3
    assert third.predicted == pytest.approx(2 * first.predicted, rel=0.05)


def test_a_program_without_a_dry_run_is_marked(world: tuple[Programs, Dataset]) -> None:
    programs, study = world
    runs = {**programs.dry_runs, "p3": None}
    lacking = Programs(dry_runs=runs, devices=programs.devices)
    train = study.script != 3
    other = np.full(len(study.script), 42.0)
    plain, told = (by_operations(lacking, study, "runtime_s", [train], o)[0] for o in (None, [other]))
    assert (study.script[plain.wide] == 3).all()
    assert plain.wide.sum() == 3
    means = [np.exp(np.log(study.metrics["runtime_s"][train & (study.device == j)]).mean()) for j in range(3)]
    assert plain.predicted[plain.wide] == pytest.approx(means)
    assert (told.predicted[told.wide] == 42.0).all()
    with pytest.raises(InputError, match="no training label has a whole dry run"):
        by_operations(Programs(dry_runs={}, devices=programs.devices), study, "runtime_s", [train])
    with pytest.raises(InputError, match="predicts runtime_s, not energy_j"):
        by_operations(programs, study, "energy_j", [train])


def test_a_dry_run_that_ended_early_is_a_lower_bound(world: tuple[Programs, Dataset]) -> None:
    programs, study = world
    early = {
        name: dataclasses.replace(programs.dry_runs[name], completeness=Completeness.PARTIAL) for name in ("p1", "p22")
    }
    part = Programs(dry_runs={**programs.dry_runs, **early}, devices=programs.devices)
    train = study.script % 4 != 0
    other = np.full(len(study.script), 0.002)
    (found,) = by_operations(part, study, "runtime_s", [train], [other])
    names = np.array(study.scripts)[study.script]
    assert set(names[found.wide]) == {"p1", "p22"}
    assert (found.predicted[names == "p1"] == 0.002).sum() == 2  # the third, T4, takes longer at least
    truth = study.metrics["runtime_s"][names == "p22"]
    assert found.predicted[names == "p22"] == pytest.approx(truth, rel=0.1)


def test_cpu_types_have_sheets_and_a_machine_that_waits() -> None:
    runs = [copy_run(f"c{i}", int(n), target="cpu") for i, n in enumerate(np.geomspace(1e6, 1e9, 20))]
    numbers = np.array([json.loads(r.operations[0].shapes)[0][0] for r in runs])
    seconds = np.stack([0.1 + 8 * numbers / 8e9, 0.1 + 8 * numbers / 14e9], axis=1)
    study = study_of_runs(runs, ("cpu-1", "cpu-2"), seconds)
    programs = Programs(dry_runs={r.content_hash: r for r in runs}, devices={"cpu-1": None, "cpu-2": None}, grid=0.25)
    tested = study.script % 5 == 2
    (found,) = by_operations(programs, study, "runtime_s", [~tested])
    assert np.abs(found.predicted[tested] / study.metrics["runtime_s"][tested] - 1).max() < 0.2


def test_like_works_merge_and_keep_their_bytes() -> None:
    runs = [copy_run("a", 10**8), copy_run("b", 10**8 + 10**5), copy_run("c", 10**9)]
    fine, coarse = Workload.of(runs), Workload.of(runs, grid=0.5)
    assert (fine.size, coarse.size) == (4, 3)  # one more is every program's start
    moved = coarse.added(coarse.count * coarse.columns.bytes_moved[coarse.work])
    assert moved - 1 == pytest.approx([8e8, 8e8 + 8e5, 8e9], rel=1e-6)


def test_a_model_is_a_folder(tmp_path: Path) -> None:
    sheets = (Specification.named("A100"),)
    runs = [copy_run(f"p{i}", 10**8 * (i + 1)) for i in range(5)]
    measured = MeasuredTimes(np.arange(5), np.zeros(5, dtype=np.int64), np.log(np.arange(1, 6) * 1e-3))
    model = DeviceModel.fit(runs, sheets, measured)
    version = model_files.save(model, tmp_path / "model", {"source": "made up"})
    assert model_files.save(model, tmp_path / "model", {"source": "made up"}) == version
    back = model_files.load(tmp_path / "model")
    assert np.array_equal(back.predict(runs, sheets).log_s, model.predict(runs, sheets).log_s)
    manifest = tmp_path / "model" / model_files.MANIFEST
    manifest.write_text(manifest.read_text().replace("made up", "measured"))
    with pytest.raises(ModelError, match="do not belong together"):
        model_files.load(tmp_path / "model")
    (tmp_path / "model" / model_files.TENSORS).unlink()
    with pytest.raises(ModelError, match="needs this file"):
        model_files.load(tmp_path / "model")

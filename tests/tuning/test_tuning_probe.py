"""tuning.probe: what a trial's parameters mean, the command end to end, and that it goes on where it was."""

import json

import optuna
import pytest

from kilowait.files.columns import PROBE_TRIALS
from kilowait.files.parquet import read_table
from kilowait.predict.probe.probe import ProbeConfig
from tests.support.probe_world import KEY, write_world
from tuning import probe as command
from tuning.space import SearchSpace, config_of, vectors


def test_a_trials_parameters_are_a_probe_configuration():
    drawn = {
        "kind": "mlp",
        "features": KEY,
        "components": 64,
        "first": 100,
        "second": 20,
        "learning_rate": 0.003,
        "weight_decay": 0.1,
        "l1": 1e-6,
        "dropout": 0.25,
        "batch_norm": False,
        "batch_size": 16,
        "max_epochs": 30,
    }
    config = config_of(drawn)
    assert (config.kind, config.features, config.components) == ("mlp", (KEY,), 64)
    assert config.network.hidden == (100, 20)
    assert (config.network.learning_rate, config.network.dropout, config.network.max_epochs) == (0.003, 0.25, 30)
    drawn = {"kind": "kernel", "features": KEY, "components": 0, "kernel": "gaussian", "share": 0.7}
    assert config_of(drawn).regression.kind == "gaussian"
    assert config_of(drawn).regression.share == 0.7


def test_vectors_are_searched_alone_and_beside_those_of_the_numbers():
    mean, last, numbers = (f"m@1:{pooling}:4:raw" for pooling in ("mean", "last", "numbers"))
    found = vectors([mean, last, numbers])
    assert found == [mean, last, numbers, f"{mean}+{numbers}", f"{last}+{numbers}"]
    drawn = {"kind": "kernel", "features": found[3], "components": 0, "kernel": "linear", "share": 0.9}
    assert config_of(drawn).features == (mean, numbers)


@pytest.mark.parametrize("kind", ["mlp", "kernel"])
def test_every_point_of_the_space_is_a_valid_configuration(kind):
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    space = SearchSpace([KEY], [kind], smoke=False)
    for _ in range(20):
        trial = study.ask()
        space(trial)
        assert config_of(trial.params).kind == kind


# Ray and Optuna warn of their own future interfaces while saving and restoring an experiment
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_command_searches_goes_on_and_starts_over(one_ray, tmp_path, capsys):
    write_world(tmp_path)
    options = ["--labels", str(tmp_path / "labels.parquet"), "--embeddings", str(tmp_path / "embeddings")]
    options += ["--out", str(tmp_path / "tune"), "--smoke", "--kinds", "kernel"]
    assert command.main([*options, "--resume"]) == 2
    assert "holds no search" in capsys.readouterr().err

    assert command.main(options) == 0
    text = capsys.readouterr().out
    assert "4 trials (0 failed), 3 folds by group" in text
    trials = read_table(tmp_path / "tune" / "trials.parquet", PROBE_TRIALS).to_pylist()
    assert trials[0]["folds"] == 3
    assert trials[0]["log_rmse"] < 0.1  # the noise of these labels is 0.02
    best = ProbeConfig.from_json(json.loads((tmp_path / "tune" / "best.json").read_text()))
    assert best == ProbeConfig.from_json(json.loads(trials[0]["config"]))

    assert command.main([*options, "--resume"]) == 0
    again = read_table(tmp_path / "tune" / "trials.parquet", PROBE_TRIALS).to_pylist()
    assert again == trials

    assert command.main([*options, "--seed", "1"]) == 2
    assert "other settings (seed)" in capsys.readouterr().err


def test_nothing_measured_is_nothing_to_tune_against(tmp_path, capsys):
    write_world(tmp_path)
    options = ["--labels", str(tmp_path / "labels.parquet"), "--embeddings", str(tmp_path / "embeddings")]
    assert command.main([*options, "--out", str(tmp_path / "t"), "--metric", "energy_j"]) == 2
    assert "none of its labels is measured" in capsys.readouterr().err

"""Tuning kappa: the optimum of a case one can solve by hand, the command end to end, and that it resumes."""

import json

import pytest

from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.files import columns, parquet
from kilowait.lab.backtest.backtest import try_kappa
from kilowait.lab.backtest.kappa_file import read_kappa
from kilowait.lab.backtest.objective import CRITERIA, KappaTrial, ObjectiveWeights, best_kappa, kappa_grid
from kilowait.lab.backtest.scenario.paper_scenario import Sample
from kilowait.simulate.run import Submission
from pipelines import backtest
from tuning import kappa as command

SMALL = ["--classes", "paper-like", "--samples", "2", "--low", "1e-6", "--high", "1e-4", "--per-decade", "1"]


def two_ways():
    """One job: 100 s and 1 kWh on the A100, 200 s and 0.5 kWh on the A6000.

    Its values are 1/100 - kappa and 1/200 - kappa/2: the A100 below kappa = 0.01, the A6000 above.
    """
    truth = {
        "A100": Prediction(runtime_s=100, energy_kwh=1.0),
        "A6000": Prediction(runtime_s=200, energy_kwh=0.5),
    }
    job = Submission(job=Job(job_id="a", submit_s=0), truth=truth, seen=truth)
    return Sample(submissions=(job,), inventory={"A100": 1, "A6000": 1})


def tried(*kappas):
    return [try_kappa([two_ways()], kappa) for kappa in kappas]


class TestSearch:
    def test_a_trial_sums_over_samples(self):
        assert try_kappa([two_ways(), two_ways()], 0.0) == KappaTrial(
            kappa=0.0, total_wait_s=0, running_s=200, energy_kwh=2
        )

    def test_energy_wants_a_kappa_above_the_switch_and_running_time_none(self):
        trials = tried(0.0, 0.009, 0.011, 0.1)
        assert best_kappa(trials, CRITERIA["energy"]).kappa == 0.011
        assert best_kappa(trials, CRITERIA["running"]).kappa == 0.0

    @pytest.mark.parametrize(("gamma", "kappa"), [(199, 0.0), (201, 0.011)])
    def test_weights_trade_seconds_for_kwh(self, gamma, kappa):
        weights = ObjectiveWeights(alpha=0, beta=1, gamma=gamma)  # 100 + gamma against 200 + gamma / 2
        assert best_kappa(tried(0.0, 0.009, 0.011, 0.1), weights).kappa == kappa

    def test_equal_costs_go_to_the_smallest_kappa(self):
        assert best_kappa(tried(0.1, 0.0), CRITERIA["waiting"]).kappa == 0.0

    def test_the_grid_has_zero_and_both_ends(self):
        assert kappa_grid(1e-3, 1e-1, 1) == [0.0, 0.001, 0.01, 0.1]
        assert len(kappa_grid(1e-9, 1e-3, 4)) == 26

    @pytest.mark.parametrize("text", ["1,2", "a,b,c", "0,0,0", "-1,0,0", "nan,0,1"])
    def test_weights_out_of_range_are_refused(self, text):
        with pytest.raises(InputError, match="weights"):
            ObjectiveWeights.parse(text)


def test_the_command_writes_resumes_and_starts_over(one_ray, tmp_path, capsys):
    arguments = [*SMALL, "--out", str(tmp_path)]
    assert command.main(arguments) == 0
    first = capsys.readouterr()
    assert "already" not in first.err
    trials = parquet.read_table(tmp_path / "trials.parquet", columns.KAPPA_TRIALS).to_pylist()
    assert sorted(row["kappa"] for row in trials) == [0.0, 1e-6, 1e-5, 1e-4]
    found = read_kappa(tmp_path / "kappa.json")["paper-like"]
    assert set(found) == {"waiting", "running", "energy"}
    least = min(trials, key=lambda row: row["energy_kwh"])
    assert found["energy"] == least["kappa"]

    front = parquet.read_table(tmp_path / "front.parquet", columns.KAPPA_FRONT).to_pylist()
    assert {row["provenance"] for row in front} == {"modelled"}
    assert front[0]["total_wait_s"] == min(row["total_wait_s"] for row in trials)
    assert front[-1]["energy_kwh"] == least["energy_kwh"]
    drawn = (tmp_path / "front.svg").read_text()
    assert "modelled: means over 2 validation samples" in drawn

    kept = sorted((tmp_path / "trials").iterdir())
    written = {path.name: path.stat().st_mtime_ns for path in kept}
    kept[0].unlink()  # as if killed before the last trial
    assert command.main([*arguments, "--criterion", "energy"]) == 0
    assert "3 of 4 trials are already" in capsys.readouterr().err
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "trials").iterdir()}
    assert set(again) == set(written)
    assert [name for name in written if again[name] != written[name]] == [kept[0].name]
    assert parquet.read_table(tmp_path / "trials.parquet", columns.KAPPA_TRIALS).to_pylist() == trials
    assert list(read_kappa(tmp_path / "kappa.json")["paper-like"]) == ["energy"]

    assert command.main([*arguments, "--max-extra-wait", "0.05"]) == 0
    printed = capsys.readouterr().out
    assert "paper-like: budget 5%: kappa" in printed
    assert "trials whose waiting is at most 5% above the best" in printed
    words = ["--out", "x", "--policies", "value", "--kappa", str(tmp_path / "kappa.json")]
    labels = [spec.label for spec in backtest.specs(backtest.parser().parse_args(words), "paper-like")]
    assert labels == ["simple", "value (budget 5%)"]

    assert command.main([*arguments, "--high", "1e-6", "--load", "0.5"]) == 0  # another world: nothing kept counts
    assert "already" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--samples", "0"], "--samples must be >= 1, got 0"),
        (["--weights", "1,0,0", "--criterion", "energy"], "give only one of --weights, --criterion"),
        (["--max-extra-wait", "0", "--weights", "1,0,0"], "give only one of --weights, --max-extra-wait"),
        (["--max-extra-wait", "-1"], "max_extra_wait must be finite and >= 0, got -1.0"),
        (["--classes", "nobody"], "unknown class table 'nobody'"),
        (["--predictions", "noisy"], "--residuals"),
        (["--low", "0"], "kappa needs 0 < low"),
        (["--load", "-1"], "--load must be finite and > 0, got -1.0"),
    ],
)
def test_wrong_options_exit_with_2_and_say_why(extra, message, tmp_path, capsys):
    assert command.main([*SMALL, "--out", str(tmp_path), *extra]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "text", ["", "[]", json.dumps({"version": 2}), json.dumps({"version": 1, "classes": {"a": 3}})]
)
def test_a_damaged_kappa_file_is_refused_by_name(text, tmp_path):
    path = tmp_path / "kappa.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"kappa\.json"):
        read_kappa(path)

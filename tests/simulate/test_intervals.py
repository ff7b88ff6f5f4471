"""Prediction intervals: what may be one, where the jobs file has them, and how often noisy ones hold the truth."""

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.files import columns, parquet
from kilowait.lab.backtest.scenario.noise import ErrorPool, error_pool, with_noise
from kilowait.lab.backtest.scenario.paper_scenario import Sample
from kilowait.simulate.jobs_csv import read_jobs
from kilowait.simulate.run import Submission

HEADER = "job_id,submit_s,gpus,A_s,A_kwh"
ENDS = "A_low_s,A_high_s,A_low_kwh,A_high_kwh"


@pytest.mark.parametrize(
    ("low", "high", "problem"),
    [
        (None, 2.0, "of runtime_s needs both ends or none, got None and 2.0"),
        (0.5, None, "of runtime_s needs both ends or none, got 0.5 and None"),
        (1.5, 2.0, "of runtime_s must be finite, > 0 and around 1.0, got 1.5 to 2.0"),
        (0.5, 0.9, "got 0.5 to 0.9"),
        (0.0, 2.0, "got 0.0 to 2.0"),
        (0.5, float("inf"), "got 0.5 to inf"),
        (float("nan"), 2.0, "got nan to 2.0"),
    ],
)
def test_what_is_no_interval_is_refused(low, high, problem):
    with pytest.raises(InputError, match=re.escape(problem)):
        Prediction(runtime_s=1.0, energy_kwh=1.0, runtime_low_s=low, runtime_high_s=high)
    with pytest.raises(InputError, match=re.escape(problem.replace("runtime_s", "energy_kwh"))):
        Prediction(runtime_s=1.0, energy_kwh=1.0, energy_low_kwh=low, energy_high_kwh=high)


class TestJobsFile:
    def read(self, tmp_path, line, header=f"{HEADER},{ENDS}", types=("A",)):
        path = tmp_path / "jobs.csv"
        path.write_text(f"{header}\n{line}\n")
        return read_jobs(path, types)["j"].by_type

    def test_intervals_are_read_and_may_be_empty(self, tmp_path):
        assert self.read(tmp_path, "j,0,1,10,2,8,13,1,3")["A"] == Prediction(
            runtime_s=10, energy_kwh=2, runtime_low_s=8, runtime_high_s=13, energy_low_kwh=1, energy_high_kwh=3
        )
        assert self.read(tmp_path, "j,0,1,10,2,,,1,3")["A"].runtime_low_s is None
        assert self.read(tmp_path, "j,0,1,10,2,,,,")["A"] == Prediction(runtime_s=10, energy_kwh=2)

    def test_one_quantity_alone_may_have_columns(self, tmp_path):
        seen = self.read(tmp_path, "j,0,1,10,2,9,11", header=f"{HEADER},A_low_s,A_high_s")["A"]
        assert (seen.runtime_low_s, seen.runtime_high_s, seen.energy_low_kwh) == (9, 11, None)

    @pytest.mark.parametrize(
        ("line", "problem"),
        [
            (
                "j,0,1,10,2,8,,1,3",
                "line 2, column A_high_s: must be given, as the other end of the interval is, got ''",
            ),
            ("j,0,1,10,2,11,13,1,3", "line 2, column A_low_s: must be at most A_s (10.0), got '11'"),
            ("j,0,1,10,2,8,9,1,3", "line 2, column A_high_s: must be at least A_s (10.0), got '9'"),
            ("j,0,1,10,2,8,13,0,3", "line 2, column A_low_kwh: must be a finite number > 0, got '0'"),
            ("j,0,1,10,2,8,13,1,x", "line 2, column A_high_kwh: must be a finite number > 0, got 'x'"),
            ("j,0,1,,,8,,,", "line 2, column A_low_s: must be empty, as A_s and A_kwh are, got '8'"),
        ],
    )
    def test_a_bad_interval_is_named(self, tmp_path, line, problem):
        with pytest.raises(InputError, match=re.escape(problem) + "$"):
            self.read(tmp_path, line)

    def test_a_missing_end_is_named(self, tmp_path):
        with pytest.raises(InputError, match="line 1, column A_high_s: missing"):
            self.read(tmp_path, "j,0,1,10,2,8", header=f"{HEADER},A_low_s")

    def test_a_type_may_be_called_low_unless_its_columns_could_be_an_interval(self, tmp_path):
        line, header = "j,0,1,10,2,8,3", f"{HEADER},A_low_s,A_low_kwh"
        assert self.read(tmp_path, line, header, ("A_low",)) == {"A_low": Prediction(runtime_s=8, energy_kwh=3)}
        with pytest.raises(InputError, match="line 1, column A_low_s: a GPU type called 'A_low', or an end of"):
            self.read(tmp_path, line, header, ("A", "A_low"))

    def test_intervals_of_a_type_that_the_cluster_lacks_are_not_read(self, tmp_path):
        line, header = "j,0,1,10,2,x,x,x,x", f"{HEADER},B_s,B_kwh,B_low_s,B_high_s"
        assert list(self.read(tmp_path, line, header)) == ["A"]


def truth_inside(pool, quantity):
    """Whether the truth lies in the interval, a row a script of the pool and a column a device type."""
    log_truth = -pool.log_errors[..., quantity]  # of a prediction of 1
    low, high = np.moveaxis(pool.log_intervals()[..., quantity, :], -1, 0)
    return (low <= log_truth + 1e-12) & (log_truth <= high + 1e-12)


@pytest.mark.parametrize("families", [1, 7])
@pytest.mark.parametrize("scripts", [20, 100, 523])
def test_intervals_hold_nine_in_ten_of_the_pool(families, scripts):
    rng = np.random.default_rng(scripts)
    family = rng.integers(0, families, scripts)
    errors = rng.normal(size=(scripts, 2, 2)) * (0.1 + family[:, None, None])
    pool = ErrorPool(model="m", log_errors=errors, dropped=0, families=tuple(f"f{k}" for k in family))
    for quantity in (0, 1):
        covered = truth_inside(pool, quantity).mean(axis=0)
        assert (covered >= 0.9).all()
        assert (covered <= 0.9 + 2.5 / scripts).all()  # each end may round outwards by one script


def test_intervals_hold_nine_in_ten_of_jobs_to_come():
    """Jobs that are exchangeable with the pool's: 90% up to the noise of 2,000 draws, 0.7% a deviation."""
    rng = np.random.default_rng(3)
    pool = ErrorPool(model="m", log_errors=rng.normal(0.1, 0.6, (2000, 1, 2)), dropped=0)
    low, high = pool.log_intervals()[0, 0, 0]
    fresh = -rng.normal(0.1, 0.6, 20_000)
    assert ((low <= fresh) & (fresh <= high)).mean() == pytest.approx(0.9, abs=0.025)


def test_a_family_that_is_predicted_badly_has_wide_intervals():
    good, bad = np.tile([-0.1, 0.1], 20), np.tile([-1.0, 1.0], 20)
    errors = np.concatenate([good, bad])[:, None, None] * np.ones((1, 1, 2))
    pool = ErrorPool(model="m", log_errors=errors, dropped=0, families=("good",) * 40 + ("bad",) * 40)
    ends = pool.log_intervals()
    assert ends[0, 0, 0] == pytest.approx([-0.1, 0.1])
    assert ends[-1, 0, 0] == pytest.approx([-1.0, 1.0])


def one_job(energy_kwh=1.0):
    truth = {t: Prediction(runtime_s=100, energy_kwh=energy_kwh) for t in ("A", "B")}
    submission = Submission(job=Job(job_id="j", submit_s=0), truth=truth, seen=truth)
    return Sample(submissions=(submission,), inventory={"A": 1, "B": 1})


@given(st.integers(0, 2**16), st.floats(0, 2), st.floats(-2, 2))
def test_a_noisy_prediction_lies_in_its_interval_whatever_the_bias(seed, width, bias):
    errors = np.random.default_rng(seed).normal(bias, width, (30, 2, 2))
    (submission,) = with_noise(
        one_job(), ErrorPool(model="m", log_errors=errors, dropped=0), np.random.default_rng(seed)
    ).submissions
    for seen in submission.seen.values():
        assert seen.runtime_low_s <= seen.runtime_s <= seen.runtime_high_s
        assert seen.energy_low_kwh <= seen.energy_kwh <= seen.energy_high_kwh


def test_errors_of_nothing_leave_intervals_without_width_and_no_energy_has_none():
    pool = ErrorPool(model="m", log_errors=np.zeros((5, 2, 2)), dropped=0)
    (submission,) = with_noise(one_job(energy_kwh=0.0), pool, np.random.default_rng(0)).submissions
    assert submission.seen["A"] == Prediction(
        runtime_s=100, energy_kwh=0, runtime_low_s=100, runtime_high_s=100
    )  # fmt: skip


def test_the_residuals_name_the_families():
    rows = [
        {"content_hash": h, "family": f, "device_type": "d", "metric": "runtime_s", "measured": 1.0, "predicted": p,
         "model": "default"}
        for h, f, p in (("a", "gan", 2.0), ("b", "rnn", 3.0), ("c", "gan", -1.0))
    ]  # fmt: skip
    assert error_pool(parquet.table(rows, columns.RESIDUALS)).families == ("gan", "rnn")

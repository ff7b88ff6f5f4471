"""A trace as a world: what is measured and what is modelled, the load, the windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kilowait.core.errors import InputError
from kilowait.core.jobs import Provenance
from kilowait.lab.backtest.scenario.job_classes import CALIBRATED, JobClass
from kilowait.lab.backtest.scenario.noise import ErrorPool
from kilowait.lab.backtest.scenario.type_model import time_factor, watts
from kilowait.lab.backtest.traces import Trace, TraceJob, TraceReport, read_trace
from kilowait.lab.backtest.traces.trace_plan import job_class_of, plan
from kilowait.lab.backtest.traces.trace_world import offered_load, trace_world, window_size

HEAVY, LAUNCH, FP32, INFERENCE = CALIBRATED
ONE = (JobClass(name="only", share=1, gpus=1, hours=1, a6000_factor=2.0, a100_w=300, a6000_w=200),)


def job(job_id="j", **fields):
    return TraceJob(**{"job_id": job_id, "submit_s": 0.0, "gpus": 1.0, "duration_s": 3600.0} | fields)


def trace(*jobs):
    report = TraceReport(
        source="t.csv", format="generic", rows_read=len(jobs), used=len(jobs), set_aside={}, examples={}, unsorted=0,
        first_submit_s=0.0,
    )  # fmt: skip
    return Trace(jobs=jobs, report=report)


def planned(*jobs, gpus=None, table=ONE):
    return plan(jobs, gpus or {"A100": 4, "A6000": 4}, seed=0, table=table)


class TestTypeModel:
    def test_the_two_types_of_the_classes_are_taken_as_they_stand(self):
        for job_class in CALIBRATED:
            assert time_factor(job_class, "A100") == pytest.approx(1)
            assert time_factor(job_class, "A6000") == job_class.a6000_factor
            assert (watts(job_class, "A100"), watts(job_class, "A6000")) == (job_class.a100_w, job_class.a6000_w)

    def test_other_types_follow_the_power_law_of_the_published_figures(self):
        # sqrt(tensor x bandwidth): A100/A6000 = sqrt(485160/118886.4) = 2.0201, A100/T4 = sqrt(485160/20800) = 4.8296;
        # 4.8296 ** (ln 1.8 / ln 2.0201) = 3.730
        assert time_factor(HEAVY, "T4") == pytest.approx(3.730, abs=0.001)
        assert time_factor(LAUNCH, "T4") == 1
        # fp32: A100/A6000 = 19.5/38.7 = 0.50388, A100/T4 = 19.5/8.1 = 2.4074; 2.4074 ** (ln 0.75 / ln 0.50388) = 1.446
        assert time_factor(FP32, "T4") == pytest.approx(1.446, abs=0.001)
        assert watts(HEAVY, "V100") == pytest.approx(40 + (270 - 60) / (400 - 60) * (300 - 40))

    def test_a_type_the_catalogue_lacks_is_refused(self):
        for model in (time_factor, watts):
            with pytest.raises(InputError, match="GPU type 'G2' is not in the catalogue"):
                model(HEAVY, "G2")


class TestPlan:
    def test_a_job_without_measurements_is_modelled_from_its_length_on_an_a100(self):
        ((found,), report) = planned(job(gpus=2.0))
        truth = found.submission.truth
        assert (truth["A100"].runtime_s, truth["A6000"].runtime_s) == (pytest.approx(3600), pytest.approx(7200))
        assert truth["A100"].energy_kwh == pytest.approx(0.6)  # 300 W x 2 GPUs x 1 h
        assert truth["A6000"].energy_kwh == pytest.approx(0.8)  # 200 W x 2 GPUs x 2 h
        assert set(found.runtime_provenance.values()) == {Provenance.MODELLED}
        assert report.seconds == {t: {"measured": 0, "modelled": 1} for t in ("A100", "A6000")}

    def test_measured_numbers_stand_and_the_rest_is_modelled_from_them(self):
        ((found,), report) = planned(job(duration_s=9.0, measured_s={"RTX A6000": 1000.0}, measured_kwh={"A6000": 0.5}))
        truth = found.submission.truth
        assert (truth["A6000"].runtime_s, truth["A6000"].energy_kwh) == (1000, 0.5)
        assert truth["A100"].runtime_s == pytest.approx(500)
        assert found.runtime_provenance == {"A100": "modelled", "A6000": "measured"}
        assert found.energy_provenance == {"A100": "modelled", "A6000": "measured"}
        assert report.energy["A6000"] == {"measured": 1, "modelled": 0}

    def test_less_than_a_gpu_is_a_share_and_a_fraction_beyond_takes_a_whole_one(self):
        found, report = planned(job("a", gpus=0.3), job("b", gpus=1.5), job("c", gpus=2.0), job("d", gpus=0.0004))
        assert [p.submission.job.gpus for p in found] == [1, 2, 2, 1]
        assert [p.submission.job.gpu_milli for p in found] == [300, 1000, 1000, 1]
        assert (report.shares, report.rounded_up) == (2, 1)

    @given(st.integers(1, 1000))
    def test_thousandths_come_through_as_they_are(self, milli):
        ((found,), _) = planned(job(gpus=milli / 1000), gpus={"A100": 1})
        assert found.submission.job.gpu_milli == milli

    def test_a_share_is_charged_that_share_of_the_watts_and_takes_its_own_time(self):
        ((found,), _) = planned(job(gpus=0.25))
        truth = found.submission.truth
        assert truth["A100"].runtime_s == pytest.approx(3600)
        assert truth["A100"].energy_kwh == pytest.approx(0.075)  # 300 W x 0.25 x 1 h

    def test_a_job_of_one_node_needs_a_node_that_is_large_enough(self):
        jobs = [job("spread", gpus=3.0), job("together", gpus=3.0, one_node=True), job("pair", gpus=2.0, one_node=True)]
        found, report = plan(jobs, {"A100": 4}, seed=0, table=ONE, nodes={"A100": (2, 2)})
        assert [p.submission.job.job_id for p in found] == ["spread", "pair"]
        assert report.too_large == 1

    def test_constraints_are_read_by_the_catalogues_names(self):
        jobs = [
            job("alias", allowed=frozenset({"a100-40gb"})),
            job("openb", allowed=frozenset({"V100M16", "T4"})),
            job("none", allowed=frozenset({"G2"})),
            job("free"),
        ]
        found, report = planned(*jobs, gpus={"A100": 1, "V100": 1})
        assert {p.submission.job.job_id: set(p.submission.truth) for p in found} == {
            "alias": {"A100"},
            "openb": {"V100"},
            "free": {"A100", "V100"},
        }
        assert (report.no_allowed_type, report.narrowed, report.planned, report.jobs_in) == (1, 1, 3, 4)
        assert report.lacking == {"T4": 1, "G2": 1}

    def test_a_type_that_was_seen_not_to_run_a_job_is_barred(self):
        ((found,), _) = planned(job(measured_s={"V100": 60.0}, barred=frozenset({"K80"})), gpus={"V100": 1, "K80": 9})
        assert set(found.submission.truth) == {"V100"}

    def test_jobs_too_large_for_a_type_lose_it_and_for_all_are_counted(self):
        found, report = planned(job("a", gpus=3.0), job("b", gpus=9.0), gpus={"A100": 2, "A6000": 4})
        assert [(p.submission.job.job_id, set(p.submission.truth)) for p in found] == [("a", {"A6000"})]
        assert (report.too_large, report.planned) == (1, 1)

    def test_a_type_unknown_to_the_catalogue_runs_what_was_measured_there_and_nothing_else(self):
        ((found,), _) = planned(job(measured_s={"G2": 5.0}, measured_kwh={"G2": 0.1}), gpus={"G2": 1})
        assert found.submission.truth["G2"].runtime_s == 5
        with pytest.raises(InputError, match="'G2' is not in the catalogue"):
            planned(job(), gpus={"G2": 1})

    def test_classes_are_drawn_by_share_from_seed_and_id_alone(self):
        ids = [f"job-{k}" for k in range(4000)]
        drawn = [job_class_of(i, 7, CALIBRATED).name for i in ids]
        assert drawn == [job_class_of(i, 7, CALIBRATED).name for i in ids]
        assert drawn != [job_class_of(i, 8, CALIBRATED).name for i in ids]
        for job_class in CALIBRATED:  # four standard errors of a share of 0.4 are 0.031
            assert drawn.count(job_class.name) / 4000 == pytest.approx(job_class.share, abs=0.035)


class TestLoad:
    def test_the_formula_by_hand(self):
        seconds = {"A100": 100.0, "A6000": 200.0}
        jobs = job("a", gpus=2.0, measured_s=seconds), job("b", submit_s=350.0, measured_s=seconds)
        found, _ = planned(*jobs, gpus={"A100": 2, "A6000": 6})
        # mean seconds (2 x 100 + 6 x 200) / 8 = 175; (2 + 1) x 175 / (8 x 350)
        submissions = [p.submission for p in found]
        assert offered_load(submissions, {"A100": 2, "A6000": 6}) == pytest.approx(0.1875)

    def test_a_share_offers_that_share_of_the_load(self):
        jobs = job("a", gpus=0.25, measured_s={"A100": 100.0}), job("b", submit_s=50.0, measured_s={"A100": 100.0})
        found, _ = planned(*jobs, gpus={"A100": 5})
        assert offered_load([p.submission for p in found], {"A100": 5}) == pytest.approx(0.5)  # 125 / (5 x 50)

    def test_arrivals_are_scaled_and_run_times_are_not(self):
        jobs = [job(str(k), submit_s=k * 100.0, measured_s={"A100": 100.0}) for k in range(5)]
        world = trace_world(trace(*jobs), {"A100": 1}, load=0.5, samples=1, seed=0)
        assert world.load.recorded == pytest.approx(1.25)  # 5 x 100 / 400
        assert world.load.arrival_factor == pytest.approx(2.5)
        submissions = world.sample(0).submissions
        assert [s.job.submit_s for s in submissions] == pytest.approx([0, 250, 500, 750, 1000])
        assert {s.truth["A100"].runtime_s for s in submissions} == {100}
        assert offered_load(submissions, {"A100": 1}) == pytest.approx(0.5)

    def test_jobs_of_one_instant_have_no_load(self):
        with pytest.raises(InputError, match=r"t.csv: all 2 jobs arrive at once, so --load cannot be set"):
            trace_world(trace(job("a"), job("b")), {"A100": 1}, load=1, samples=1, seed=0)

    def test_a_trace_that_fits_nowhere_is_refused(self):
        jobs = trace(job("a", gpus=9.0), job("b", allowed=frozenset({"T4"})))
        with pytest.raises(InputError, match=r"no job can run .* 1 may use none of its types \(A100\), 1 need more"):
            trace_world(jobs, {"A100": 1}, load=1, samples=1, seed=0)


class TestWindows:
    def world(self, count, **options):
        jobs = [job(f"{k:03}", submit_s=float(k)) for k in range(count)]
        return trace_world(trace(*jobs), {"A100": 1}, load=1, seed=0, **options)

    def test_windows_are_consecutive_jobs_from_zero_and_leftovers_are_counted(self):
        world = self.world(10, samples=9, window_jobs=4)
        assert (world.windows, world.left_over) == (2, 2)
        ids = [[s.job.job_id for s in world.sample(k).submissions] for k in range(2)]
        assert ids == [["000", "001", "002", "003"], ["004", "005", "006", "007"]]
        assert [world.sample(k).submissions[0].job.submit_s for k in range(2)] == [0, 0]
        with pytest.raises(InputError, match="has windows 0 to 1, got 2"):
            world.sample(2)

    def test_no_more_windows_than_samples(self):
        world = self.world(10, samples=2, window_jobs=3)
        assert (world.windows, world.left_over) == (2, 4)

    @pytest.mark.parametrize(
        ("jobs", "samples", "size"), [(10, 100, 10), (3000, 20, 150), (1001, 10, 101), (99, 9, 50)]
    )
    def test_the_default_size(self, jobs, samples, size):
        assert window_size(jobs, samples, None) == size

    @pytest.mark.parametrize("asked", [0, -1, 11])
    def test_a_size_that_cannot_be_is_refused(self, asked):
        with pytest.raises(InputError, match=f"between 1 and the trace's 10 usable jobs, got {asked}"):
            window_size(10, 1, asked)

    @given(st.integers(1, 5000), st.integers(1, 200))
    def test_default_windows_never_outnumber_samples_nor_lack(self, jobs, samples):
        size = window_size(jobs, samples, None)
        assert 1 <= jobs // size <= samples


def test_noisy_policies_see_the_truth_times_the_errors():
    errors = ErrorPool(model="m", log_errors=np.log([[[2.0, 3.0]]]), dropped=0)
    jobs = [job("a"), job("b", submit_s=60.0)]
    world = trace_world(trace(*jobs), {"A100": 1}, load=1, samples=1, seed=0, errors=errors)
    for submission in world.sample(0).submissions:
        seen, truth = submission.seen["A100"], submission.truth["A100"]
        assert (seen.runtime_s, seen.energy_kwh) == pytest.approx((2 * truth.runtime_s, 3 * truth.energy_kwh))
    assert world.predictions == "noisy:m"


@pytest.mark.shared_data
def test_gavel_on_its_own_types_is_measured_throughout(shared_data):
    found = read_trace(shared_data("traces") / "gavel_msr_seed0_traces.csv", "gavel", vc="11cb48")
    world = trace_world(found, {"V100": 32, "P100": 32, "K80": 32}, load=0.9, samples=10, seed=0)
    assert [world.planned.seconds[t]["modelled"] for t in ("V100", "P100", "K80")] == [0, 0, 0]
    assert world.planned.planned == 1_819
    assert offered_load([p.submission for p in world.jobs], world.inventory) == pytest.approx(0.9)


def test_policies_see_what_users_asked_for_where_the_trace_says_so():
    """`a` takes an hour on the reference type and its user asked for 2.5: so it is on every type, in energy too."""
    jobs = [job("a", estimate_s=9000.0), job("b", submit_s=50.0)]
    world = trace_world(trace(*jobs), {"A100": 1, "A6000": 1}, load=1, samples=1, seed=0, window_jobs=2, estimates=True)
    a, b = world.sample(0).submissions
    assert world.predictions == "users"
    for gpu_type in ("A100", "A6000"):
        assert a.seen[gpu_type].runtime_s == pytest.approx(2.5 * a.truth[gpu_type].runtime_s)
        assert a.seen[gpu_type].energy_kwh == pytest.approx(2.5 * a.truth[gpu_type].energy_kwh)
    assert b.seen == b.truth
    with pytest.raises(InputError, match="no job says how long"):
        trace_world(trace(jobs[1]), {"A100": 1}, load=1, samples=1, seed=0, estimates=True)

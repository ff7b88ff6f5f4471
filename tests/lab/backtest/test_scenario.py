"""The paper's world: thinning, truncated draws, classes by share, times that correlate, noise, bootstrap intervals."""

import math
from itertools import pairwise

import numpy as np
import pytest

from kilowait.core.errors import InputError
from kilowait.files import columns, parquet
from kilowait.lab.backtest.backtest import PolicySpec, World, run_policy
from kilowait.lab.backtest.bounds.lower_bounds import greenest_kwh
from kilowait.lab.backtest.sample_path import sample_path
from kilowait.lab.backtest.scenario.arrivals import ArrivalPattern
from kilowait.lab.backtest.scenario.class_checks import checks
from kilowait.lab.backtest.scenario.job_classes import CALIBRATED, CLASS_TABLES, PAPER_LIKE, JobClass, class_table
from kilowait.lab.backtest.scenario.noise import error_pool, with_noise
from kilowait.lab.backtest.scenario.paper_scenario import paper_scenario, sample_rng, truncated_normal
from kilowait.lab.backtest.statistics import change_interval, mean_interval
from kilowait.simulate.loop import simulate

DAY_S = 86_400.0


def rng(seed=0):
    return np.random.default_rng(seed)


class TestArrivals:
    def test_thinning_yields_the_expected_number_whatever_the_bursts(self):
        counts = [len(ArrivalPattern().draw(rng(k))) for k in range(200)]
        assert np.mean(counts) == pytest.approx(190, abs=5)  # standard error about 1

    def test_the_same_seed_draws_the_same_times(self):
        assert ArrivalPattern().draw(rng(3)).tolist() == ArrivalPattern().draw(rng(3)).tolist()
        assert ArrivalPattern().draw(rng(3)).tolist() != ArrivalPattern().draw(rng(4)).tolist()

    def test_times_ascend_inside_the_window(self):
        times = ArrivalPattern().draw(rng())
        assert all(a < b for a, b in pairwise(times))
        assert times[0] >= 0
        assert times[-1] < 62 * DAY_S

    def test_a_flat_rate_is_jobs_over_time(self):
        flat = ArrivalPattern(expected=100, days=10, diurnal=0, burstiness=0)
        assert flat.rate(np.array([0.0, 123_456.0]), np.empty((0, 2))) == pytest.approx(100 / (10 * DAY_S))

    def test_the_afternoon_is_four_times_the_night(self):
        pattern = ArrivalPattern(diurnal=0.6, peak_hour=15)
        peak, trough = pattern.rate(np.array([15 * 3600.0, 3 * 3600.0]), np.empty((0, 2)))
        assert peak / trough == pytest.approx(1.6 / 0.4)

    def test_a_burst_multiplies_the_rate_and_overlapping_bursts_count_once(self):
        pattern = ArrivalPattern(diurnal=0, burstiness=9)
        bursts = np.array([[0.0, 3600.0], [1800.0, 7200.0]])
        inside, overlap, after = pattern.rate(np.array([600.0, 2000.0, 7200.0]), bursts)
        assert inside / after == pytest.approx(10)
        assert overlap == inside

    def test_the_rate_integrates_to_the_expected_number(self):
        pattern = ArrivalPattern(expected=190, days=2, diurnal=0.9, peak_hour=5)
        bursts = np.array([[10_000.0, 50_000.0], [40_000.0, 60_000.0], [60_000.0, 61_000.0], [150_000.0, 2 * DAY_S]])
        seconds = np.arange(0.5, 2 * DAY_S)
        assert pattern.rate(seconds, bursts).sum() == pytest.approx(190, rel=1e-3)

    def test_arrivals_gather_in_bursts(self):
        pattern = ArrivalPattern(expected=2000, diurnal=0, burstiness=9)
        bursts = np.array([[10 * DAY_S, 20 * DAY_S]])  # 10 days at 10, 52 at 1: 100 of 152 arrivals
        times = pattern.draw(rng(), bursts)
        assert ((times >= 10 * DAY_S) & (times < 20 * DAY_S)).mean() == pytest.approx(100 / 152, abs=0.05)

    @pytest.mark.parametrize("wrong", [{"expected": 0}, {"days": math.nan}, {"diurnal": 1.5}, {"burstiness": -1}])
    def test_a_pattern_out_of_range_is_refused_by_name(self, wrong):
        with pytest.raises(InputError, match=next(iter(wrong))):
            ArrivalPattern(**wrong)


class TestTruncatedNormal:
    def test_nothing_is_at_or_below_the_bound_and_nothing_piles_up_above_it(self):
        drawn = truncated_normal(rng(), np.full(100_000, 0.5), 1.0)
        assert drawn.min() > 0
        # (Phi(-.45) - Phi(-.5)) / Phi(.5); clamping would put 31% there
        assert (drawn < 0.05).mean() == pytest.approx(0.0258, abs=0.0025)

    def test_the_mean_is_the_truncated_one(self):
        drawn = truncated_normal(rng(), np.full(100_000, 0.5), 1.0)
        assert drawn.mean() == pytest.approx(1.0092, abs=0.01)  # 0.5 + phi(0.5) / Phi(0.5)

    def test_every_draw_keeps_its_own_mean(self):
        assert truncated_normal(rng(), [10.0, 1000.0], [0.0, 0.0]).tolist() == [10.0, 1000.0]


class TestClasses:
    def test_the_paper_like_table_is_as_given(self):
        rows = [(c.share, c.gpus, c.hours, c.a6000_factor, c.a100_w, c.a6000_w) for c in PAPER_LIKE]
        assert rows == [
            (0.35, 1, 6, 1.25, 230, 190),
            (0.25, 2, 16, 1.35, 260, 200),
            (0.22, 4, 30, 1.15, 300, 170),
            (0.18, 8, 40, 1.6, 330, 235),
        ]

    @pytest.mark.parametrize("name", list(CLASS_TABLES))
    def test_shares_sum_to_one(self, name):
        assert math.fsum(c.share for c in class_table(name)) == pytest.approx(1)

    def test_heavy_jobs_do_not_get_cheaper_on_an_a6000(self):
        heavy = next(c for c in CALIBRATED if c.name == "heavy mixed precision")
        assert heavy.a6000_factor >= 1.5
        assert heavy.energy_ratio >= 1.5

    def test_an_unknown_table_is_refused_with_the_names(self):
        with pytest.raises(InputError, match=r"'papyrus'.*paper-like, calibrated"):
            class_table("papyrus")

    def test_a_class_out_of_range_is_refused_by_name(self):
        with pytest.raises(InputError, match="job class odd: hours must be finite and > 0, got 0"):
            JobClass(name="odd", share=1, gpus=1, hours=0, a6000_factor=1, a100_w=1, a6000_w=1)


class TestScenario:
    def test_the_same_seed_role_and_index_are_the_same_sample(self):
        world = World(classes="calibrated", seed=7)
        assert world.sample(3) == world.sample(3)
        assert world.sample(3) != world.sample(4)

    def test_validation_samples_are_not_test_samples(self):
        drawn = {role: sample_rng(7, role, 0).random(4).tolist() for role in ("test", "validation")}
        assert drawn["test"] != drawn["validation"]

    def test_inventories_lie_in_the_papers_ranges_ends_included(self):
        world = World(classes="paper-like", seed=0, arrivals=ArrivalPattern(expected=1))
        inventories = [world.sample(k).inventory for k in range(300)]
        assert {i["A100"] for i in inventories} == set(range(10, 21))
        assert {i["A6000"] for i in inventories} == set(range(20, 41))
        assert list(inventories[0]) == ["A100", "A6000"]

    def test_classes_come_by_share_and_bring_their_gpus(self):
        sample = paper_scenario(rng(), classes="paper-like", arrivals=ArrivalPattern(expected=4000))
        gpus = np.array([s.job.gpus for s in sample.submissions])
        for count, share in ((1, 0.35), (2, 0.25), (4, 0.22), (8, 0.18)):
            assert (gpus == count).mean() == pytest.approx(share, abs=0.03)

    def test_times_on_two_types_share_the_jobs_size(self):
        sample = paper_scenario(rng(), classes=[PAPER_LIKE[0]], arrivals=ArrivalPattern(expected=4000))
        a100, a6000 = (np.array([s.truth[t].runtime_s for s in sample.submissions]) for t in ("A100", "A6000"))
        assert np.corrcoef(a100, a6000)[0, 1] > 0.85
        assert np.mean(a6000 / a100) == pytest.approx(1.25, abs=0.02)
        assert np.std(a6000 / a100) == pytest.approx(0.2, abs=0.02)
        assert np.mean(a100) / 3600 == pytest.approx(6.17, abs=0.2)  # 6 h, sd 3, cut at 0: 6 + 3 * 0.0553

    def test_energy_is_watts_times_gpus_times_time(self):
        sample = paper_scenario(rng(), classes=[PAPER_LIKE[3]], arrivals=ArrivalPattern(expected=3000))
        for gpu_type, watts in (("A100", 330), ("A6000", 235)):
            drawn = [s.truth[gpu_type].energy_kwh / 8 / s.truth[gpu_type].runtime_s * 3.6e6 for s in sample.submissions]
            assert np.mean(drawn) == pytest.approx(watts, abs=4)
            assert np.std(drawn) == pytest.approx(40, abs=3)

    def test_load_multiplies_the_jobs(self):
        sample = paper_scenario(rng(), load=10)
        assert len(sample.submissions) == pytest.approx(1900, abs=200)
        gpu_s = sum(s.job.gpus_on("A100") * s.truth["A100"].runtime_s for s in sample.submissions)
        assert gpu_s > 62 * DAY_S * sum(sample.inventory.values())  # more than the cluster can do, all on A100

    def test_an_oracle_sees_the_truth(self):
        assert all(s.seen == s.truth for s in paper_scenario(rng()).submissions)


def residuals(errors, model="default"):
    """Rows of (script, device, metric, predicted / measured)."""
    rows = [
        {"content_hash": h, "device_type": d, "metric": m, "measured": 10.0, "predicted": 10.0 * f, "model": model}
        for h, d, m, f in errors
    ]
    return parquet.table(rows, columns.RESIDUALS)


class TestNoise:
    def test_a_job_takes_one_scripts_errors_on_every_type(self):
        pool = error_pool(
            residuals(
                [
                    ("a", "cpu-1", "runtime_s", 2.0),
                    ("a", "cpu-1", "energy_j", 3.0),
                    ("a", "cpu-2", "runtime_s", 0.5),
                    ("a", "cpu-2", "energy_j", 0.25),
                ]
            )
        )
        sample = with_noise(paper_scenario(rng()), pool, rng())
        for s in sample.submissions[:20]:
            for gpu_type, runtime, energy in (("A100", 2.0, 3.0), ("A6000", 0.5, 0.25)):
                assert s.seen[gpu_type].runtime_s == pytest.approx(s.truth[gpu_type].runtime_s * runtime)
                assert s.seen[gpu_type].energy_kwh == pytest.approx(s.truth[gpu_type].energy_kwh * energy)

    def test_the_truth_stays(self):
        world = World(classes="calibrated", seed=1)
        noisy = World(classes="calibrated", seed=1, errors=error_pool(residuals([("a", "d", "runtime_s", 4.0)])))
        assert [s.truth for s in noisy.sample(0).submissions] == [s.truth for s in world.sample(0).submissions]
        assert noisy.predictions == "noisy:default"

    def test_scripts_that_lack_a_device_or_are_not_positive_are_counted_out(self):
        rows = [("a", "x", "runtime_s", 1.0), ("a", "y", "runtime_s", 1.0), ("b", "x", "runtime_s", 1.0)]
        pool = error_pool(residuals([*rows, ("c", "x", "runtime_s", -1.0), ("c", "y", "runtime_s", 1.0)]))
        assert pool.log_errors.shape == (1, 2, 2)
        assert pool.dropped == 2

    def test_several_models_need_a_choice(self):
        import pyarrow as pa

        two = pa.concat_tables([residuals([("a", "x", "runtime_s", 1.0)], m) for m in ("ridge", "mean")])
        with pytest.raises(InputError, match="mean, ridge"):
            error_pool(two)
        assert error_pool(two, model="ridge").model == "ridge"


class TestStatistics:
    def test_equal_values_leave_no_doubt(self):
        interval = mean_interval([5.0, 5.0, 5.0], rng())
        assert (interval.estimate, interval.low, interval.high) == (5.0, 5.0, 5.0)

    def test_a_fair_coin_of_a_hundred(self):
        interval = mean_interval([0.0, 1.0] * 50, rng())  # 0.5 +- 1.96 * 0.05
        assert interval.estimate == 0.5
        assert interval.low == pytest.approx(0.402, abs=0.02)
        assert interval.high == pytest.approx(0.598, abs=0.02)

    def test_pairs_stay_together(self):
        busy_and_quiet = np.array([1.0, 1000.0, 10.0, 5000.0])
        interval = change_interval(0.8 * busy_and_quiet, busy_and_quiet, rng())
        for bound in (interval.estimate, interval.low, interval.high):
            assert bound == pytest.approx(-0.2)

    def test_a_change_is_of_totals(self):
        assert change_interval([30.0, 0.0], [10.0, 10.0], rng()).estimate == 0.5

    def test_no_baseline_no_change(self):
        assert math.isnan(change_interval([1.0], [0.0], rng()).estimate)

    def test_lengths_must_agree(self):
        with pytest.raises(InputError, match="got 2 and 3"):
            change_interval([1, 2], [1, 2, 3], rng())


class TestStudy:
    def test_the_energy_bound_is_below_every_policy(self):
        world = World(classes="paper-like", seed=2)
        sample = world.sample(0)
        bound = greenest_kwh(sample)
        for policy, parameters in (("simple", {}), ("greedy", {}), ("value", {"kappa": 1e-4})):
            run = run_policy(sample, PolicySpec(label=policy, policy=policy, parameters=parameters))
            assert math.fsum(p.energy_kwh for p in run.placements) >= bound

    def test_a_path_counts_who_waits_and_what_is_busy(self):
        from kilowait.core.jobs import Job, Prediction
        from kilowait.policies.simple import simple
        from kilowait.simulate.run import Submission

        def submission(job_id, submit_s, runtime_s):
            truth = {"A100": Prediction(runtime_s=runtime_s, energy_kwh=1)}
            return Submission(job=Job(job_id=job_id, submit_s=submit_s), truth=truth, seen=truth)

        run = simulate([submission("a", 0, 10), submission("b", 4, 5)], {"A100": 1}, simple())
        path = sample_path(run)
        assert path.time_s == (0, 4, 10, 15)
        assert path.queued == (0, 1, 0, 0)
        assert path.busy == {"A100": (1, 1, 1, 0)}


CHATS = {
    "A100_chat_benchmark.csv": "model,throughput,response_length,latency,energy\na,1,100,10,1000\nb,1,10,1,200\n",
    "A40_chat_benchmark.csv": "model,throughput,response_length,latency,energy\na,1,100,20,4000\nb,1,20,4,1200\n",
}


class TestCalibration:
    def test_time_a_token_and_watts_come_out_of_the_public_layout(self, tmp_path):
        for name, text in CHATS.items():
            (tmp_path / name).write_text(text)
        found = {c.quantity: c for c in checks(tmp_path, CALIBRATED)}
        assert found["a6000_factor"].median == 2.0  # 0.2 s a token over 0.1, for both models
        assert found["a100_w"].median == 150.0  # 100 and 200 W
        assert found["a6000_w"].median == 250.0  # 200 and 300 W
        assert [c.inside for c in found.values()] == [False, False, True]

    def test_a_folder_without_measurements_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="none of the public measurement files"):
            checks(tmp_path, CALIBRATED)

    def test_a_missing_column_is_refused(self, tmp_path):
        (tmp_path / "acme_a100_power_cdf.csv").write_text("watts\n1\n")
        with pytest.raises(InputError, match="a column is missing"):
            checks(tmp_path, CALIBRATED)

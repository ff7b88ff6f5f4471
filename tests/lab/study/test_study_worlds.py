"""Worlds of many types and of high rates, the stopwatch, and digests of content."""

import math
from itertools import count

import numpy as np
import pytest

from kilowait.core.errors import InputError
from kilowait.core.hardware import CATALOGUE
from kilowait.lab.backtest.backtest import PolicySpec
from kilowait.lab.backtest.content import code_digest, content_digest
from kilowait.lab.backtest.scenario.job_classes import CALIBRATED
from kilowait.lab.backtest.scenario.noise import ErrorPool
from kilowait.lab.backtest.timing import BudgetSpent, TimedPolicy
from kilowait.lab.study.information import Bias, MeasuredErrors, Oracle
from kilowait.lab.study.many_types import MAX_TYPES, TypesWorld, boards, inventory
from kilowait.lab.study.rates import OFFERED_LOAD, PERIOD_S, SWING, RateWorld, keeps_up, measure_rate
from kilowait.policies.simple import simple
from kilowait.simulate.loop import simulate
from tests.support.timelines import job


def _only_arrivals(policy):
    """Ask `policy` only while jobs wait."""
    return lambda cluster: policy(cluster) if cluster.waiting else []


ORDER = ["A100", "A6000", "V100", "P100", "L4", "A10", "B200", "T4", "A40", "H100", "H100-PCIe", "V100-32GB"]
"""Written down with a catalogue of 23 types."""
COUNTS = (1, 2, 3, 5, 10, 23, 24, 40)


class TestManyTypes:
    def test_the_paper_s_pair_comes_first_then_the_catalogue_then_variants_named_so(self):
        names = [board.name for board in boards(MAX_TYPES)]
        assert names[:2] == ["A100", "A6000"]
        assert set(names[:23]) <= set(CATALOGUE)
        assert all("synthetic" in name for name in names[23:])
        assert len(set(names)) == MAX_TYPES
        assert [board.name for board in boards(5)] == names[:5]

    def test_the_order_of_the_boards_is_as_it_was_before_the_catalogue_grew(self):
        assert [board.name for board in boards(12)] == ORDER

    @pytest.mark.parametrize("wrong", [0, 41])
    def test_a_number_of_types_out_of_range_is_refused(self, wrong):
        with pytest.raises(InputError, match="between 1 and 40"):
            boards(wrong)

    def test_the_compute_is_the_same_to_within_one_gpu(self):
        fastest = max(board.speed(CALIBRATED) for board in boards(MAX_TYPES))
        totals = []
        for n in COUNTS:
            gpus = inventory(n, CALIBRATED)
            assert len(gpus) == n
            assert max(gpus.values()) - min(gpus.values()) <= 1
            assert min(gpus.values()) >= max(c.gpus for c in CALIBRATED)
            totals.append(sum(gpus[board.name] * board.speed(CALIBRATED) for board in boards(n)))
        assert max(totals) - min(totals) < fastest

    def test_an_a100_has_speed_one_and_the_order_is_by_speed(self):
        assert boards(1)[0].speed(CALIBRATED) == pytest.approx(1)
        speeds = {board.name: board.speed(CALIBRATED) for board in boards(12)}
        found = [speeds[name] for name in inventory(12, CALIBRATED)]
        assert found == sorted(found, reverse=True)

    def test_samples_of_different_numbers_of_types_have_the_same_jobs(self):
        two, five = (TypesWorld(types=n, classes="calibrated", seed=7).sample(0) for n in (2, 5))
        assert [s.job for s in two.submissions] == [s.job for s in five.submissions]
        assert [s.truth["A100"].runtime_s for s in two.submissions] == [
            s.truth["A100"].runtime_s for s in five.submissions
        ]
        assert all(set(s.truth) == set(five.inventory) for s in five.submissions)
        assert TypesWorld(types=2, classes="calibrated", seed=7).sample(1) != two

    def test_the_mean_of_times_follows_the_type_model(self):
        sample = TypesWorld(types=2, classes="calibrated", seed=7).sample(0)
        heavy = [s.truth for s in sample.submissions if s.job.gpus == 4]  # the one class of 4 GPUs: factor 1.8
        ratio = np.mean([t["A6000"].runtime_s / t["A100"].runtime_s for t in heavy])
        assert ratio == pytest.approx(1.8, rel=0.05)


class TestRates:
    def test_the_offered_load_is_what_it_says(self):
        world = RateWorld(rate=100, classes="calibrated", seed=3)
        sample, gpus = world.sample(), world.inventory()
        total = sum(gpus.values())
        share = {t: n / total for t, n in gpus.items()}
        work = [
            s.job.gpus * sum(share[t] * truth.runtime_s for t, truth in s.truth.items()) for s in sample.submissions
        ]
        assert len(work) == 6000
        assert 100 * np.mean(work) / total == pytest.approx(OFFERED_LOAD, rel=0.05)

    def test_arrivals_swing_about_their_rate(self):
        times = np.array(
            [s.job.submit_s for s in RateWorld(rate=200, classes="calibrated", seed=3).sample().submissions]
        )
        assert (np.diff(times) >= 0).all()
        high = ((times < PERIOD_S) & (times < PERIOD_S / 2)).sum() / (PERIOD_S / 2)
        low = ((times < PERIOD_S) & (times >= PERIOD_S / 2)).sum() / (PERIOD_S / 2)
        assert high == pytest.approx(200 * (1 + SWING), rel=0.05)
        assert low == pytest.approx(200 * (1 - SWING), rel=0.1)

    def test_a_run_counts_every_job_and_every_second_of_the_clock(self):
        world, ticks = RateWorld(rate=1, classes="calibrated", seed=3), count()
        row = measure_rate(
            world, PolicySpec(label="s", policy="simple"), clock=lambda: float(next(ticks)), budget_s=math.inf
        )
        assert (row["placed"], row["finished"], row["jobs"]) == (2000, True, 2000)
        assert (row["p50_s"], row["policy_s"]) == (1, row["calls"])  # two looks at the clock a call, one apart
        assert row["scheduler_s"] == 2 * row["calls"] + 1

    def test_a_run_whose_time_is_spent_stops_and_does_not_keep_up(self):
        world, ticks = RateWorld(rate=1, classes="calibrated", seed=3), count()
        row = measure_rate(
            world, PolicySpec(label="s", policy="simple"), clock=lambda: 10.0 * next(ticks), budget_s=100
        )
        assert (row["finished"], row["energy_kwh"], row["calls"]) == (False, None, 5)
        # calls end at 20, 40, 60, 80 and 100 s and place a job each: three are more than half, the last two take 40 s
        assert row["sustained"] == pytest.approx(2 / 40)
        assert not keeps_up(row)

    def test_keeping_up_by_hand(self):
        assert keeps_up({"rate": 10.0, "sustained": 10.0})
        assert not keeps_up({"rate": 10.0, "sustained": 9.9})


class TestStopwatch:
    def test_the_policy_inside_decides_and_keeps_its_name(self):
        jobs = [job("a", A=(10, 1)), job("b", A=(10, 1)), job("c", submit_s=5, A=(10, 1))]
        plain, timed = simulate(jobs, {"A": 1}, simple()), TimedPolicy(simple(), lambda: 0.0)
        run = simulate(jobs, {"A": 1}, timed)
        assert (run.placements, run.policy) == (plain.placements, "simple")
        assert (timed.placed, timed.longest_queue) == (3, 2)

    def test_the_pace_that_counts_is_that_of_the_later_half(self):
        clock = iter([0.0, 0, 1, 1, 2, 2, 12, 12, 22])  # a job each second, then one every ten
        timed = TimedPolicy(simple(), lambda: next(clock))
        simulate([job(f"j{k}", submit_s=k, A=(100, 1)) for k in range(4)], {"A": 4}, _only_arrivals(timed))
        assert timed.placed == 4
        assert timed.sustained == pytest.approx(2 / 20)

    def test_a_spent_budget_stops_the_run(self):
        ticks = count()
        with pytest.raises(BudgetSpent, match="simple: 3 s are spent after 2 jobs"):
            simulate(
                [job(f"j{k}", submit_s=k, A=(1, 1)) for k in range(9)],
                {"A": 1},
                TimedPolicy(simple(), lambda: float(next(ticks)), budget_s=3),
            )


class TestContent:
    def test_equal_settings_have_one_digest_and_every_difference_another(self):
        pools = [ErrorPool(model="m", log_errors=np.full((2, 1, 2), x), dropped=0) for x in (0.1, 0.1, 0.2)]
        same, again, other = (content_digest(MeasuredErrors(pool=pool)) for pool in pools)
        assert same == again
        kinds = [Oracle(), Bias(factor=2.0), Bias(factor=2.5), Bias(factor=2.0, gpu_type="A100"), {"a": 1, "b": 2}]
        kinds += [{"b": 2, "a": 1}, {"a": 1, "b": 2.0}, [1, 2], [12], "[1, 2]", None]
        assert len({same, other, *map(content_digest, kinds)}) == 2 + len(kinds)

    def test_what_has_no_digest_is_an_error(self):
        with pytest.raises(TypeError, match="function has no digest"):
            content_digest([simple])

    def test_the_code_has_one(self):
        assert code_digest() == code_digest()
        assert len(code_digest()) == 24

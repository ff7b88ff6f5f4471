"""Allocations worked out by hand and by trying every vertex, and what the policy starts."""

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.cluster.advance import replay
from kilowait.cluster.events import GpusJoined, JobPlaced, JobSubmitted
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.policies.gavel import gavel
from kilowait.policies.planning.allocation import ALLOCATIONS, energy, max_min, throughput
from kilowait.policies.planning.demand import Demand, demand_of
from tests.support.examples import examples
from tests.support.timelines import job, timeline


def demand(seconds, total, *, gpus=1, width=1, kwh=1, jobs=1):
    """Rows of jobs by columns of types; None where a job may not run."""
    times = np.array([[np.inf if s is None else s for s in row] for row in seconds], dtype=float)

    def full(numbers):
        return np.broadcast_to(np.array(numbers, dtype=float), times.shape).copy()

    def column(numbers):
        return np.broadcast_to(np.array(numbers, dtype=float), len(times)).copy()

    return Demand(
        seconds=times, kwh=full(kwh), gpus=full(gpus), width=column(width), jobs=column(jobs),
        total=np.array(total, dtype=float),
    )  # fmt: skip


def levels(d, x):
    """Throughput over that of the equal share, times the scale factor, from the paper's words."""
    t = 1 / d.seconds
    equal = np.array([sum(t[m, j] * d.total[j] / d.total.sum() for j in range(len(d.total))) for m in range(len(t))])
    return d.width * (t * x).sum(axis=1) / equal


class TestByHand:
    def test_the_most_throughput_lets_the_first_job_take_the_worse_type(self):
        """1/10 + 1/100 jobs a second one way, 1/12 + 1/10 the other."""
        assert throughput(demand([(10, 12), (10, 100)], (1, 1))) == pytest.approx(np.array([(0, 1), (1, 0)]))

    def test_a_type_with_more_demand_than_gpus_goes_to_the_shorter_job(self):
        assert throughput(demand([(4,), (3,)], (1,))) == pytest.approx(np.array([(0,), (1,)]))

    def test_max_min_of_three_jobs_on_two_gpus(self):
        """Throughputs 4:1, 3:1 and 1:1, over the means 2.5, 2 and 1: 1.6, 0.4; 1.5, 0.5; 1, 1.

        The first has the most of A to gain and stays there, the last stays on B, the second takes what is left:
        1.5 (1 - z / 1.6) + 0.5 (1 - z) = z, so z = 32/39.
        """
        d = demand([(15, 60), (20, 60), (60, 60)], (1, 1))
        z = 32 / 39
        assert max_min(d) == pytest.approx(np.array([(z / 1.6, 0), (1 - z / 1.6, 1 - z), (0, z)]), abs=1e-5)

    def test_max_min_gives_a_wide_job_half_the_time_that_it_gives_a_narrow_one(self):
        """2 X_wide = X_narrow and 2 X_wide + 2 X_narrow = 2 GPUs: two thirds of a GPU's time each."""
        d = demand([(10,), (10,), (10,)], (2,), gpus=[[2], [1], [1]], width=[2, 1, 1])
        assert max_min(d) == pytest.approx(np.array([(1 / 3,), (2 / 3,), (2 / 3,)]), abs=1e-5)

    def test_max_min_uses_what_the_least_job_cannot(self):
        """The first may run on A alone and shares it; the second has all of B besides."""
        d = demand([(10, None), (10, 10)], (1, 1))
        assert max_min(d) == pytest.approx(np.array([(1, 0), (0, 1)]), abs=1e-5)

    def test_energy_puts_each_job_where_it_burns_least(self):
        d = demand([(1, 9), (1, 9)], (2, 2), kwh=[(3, 2), (4, 5)])
        assert energy(d) == pytest.approx(np.array([(0, 1), (1, 0)]))

    def test_energy_of_a_contested_type_goes_to_whoever_saves_more_jobs_a_kwh(self):
        """1/1 + 1/4 against 1/2 + 1/2."""
        d = demand([(1, 1), (1, 1)], (1, 1), kwh=[(1, 2), (2, 4)])
        assert energy(d) == pytest.approx(np.array([(1, 0), (0, 1)]))

    def test_no_energy_anywhere_is_no_error(self):
        x = energy(demand([(1, 1)], (1, 1), kwh=0))
        assert x.sum() == pytest.approx(1)


def best_vertex(objective, rows, limits):
    """The largest objective @ x under rows @ x <= limits, x >= 0, over every corner of the polytope."""
    rows = np.vstack([rows, -np.eye(rows.shape[1])])
    limits = np.concatenate([limits, np.zeros(rows.shape[1])])
    best = -np.inf
    for chosen in combinations(range(len(rows)), rows.shape[1]):
        corner = rows[list(chosen)]
        if abs(np.linalg.det(corner)) > 1e-9:
            x = np.linalg.solve(corner, limits[list(chosen)])
            if (rows @ x <= limits + 1e-9).all():
                best = max(best, objective @ x)
    return best


def polytope(d):
    """Two jobs on two types, x = (x_0A, x_0B, x_1A, x_1B): each job's time, each type's GPUs."""
    rows = np.zeros((4, 4))
    rows[0, :2] = rows[1, 2:] = 1
    for j in (0, 1):
        rows[2 + j, [j, 2 + j]] = d.gpus[:, j]
    return rows, np.array([1, 1, *d.total])


whole = st.integers(1, 9)
two_by_two = st.builds(
    lambda seconds, gpus, width, kwh, total: demand(seconds, total, gpus=gpus, width=width, kwh=kwh),
    *(st.tuples(st.tuples(whole, whole), st.tuples(whole, whole)) for _ in range(2)),
    st.tuples(whole, whole), st.tuples(st.tuples(whole, whole), st.tuples(whole, whole)), st.tuples(whole, whole),
)  # fmt: skip


@settings(max_examples=examples(60))
@given(two_by_two)
def test_sums_are_those_of_the_best_vertex(d):
    for allocation, gain in ((throughput, 1 / d.seconds), (energy, 1 / d.kwh)):
        expected = best_vertex(gain.ravel(), *polytope(d))
        assert (gain * allocation(d)).sum() == pytest.approx(expected, rel=1e-6)


@settings(max_examples=examples(40))
@given(two_by_two)
def test_the_least_level_is_that_of_the_best_vertex(d):
    rows, limits = polytope(d)
    unit = np.zeros((4, 2, 2))
    unit[np.arange(4), (0, 0, 1, 1), (0, 1, 0, 1)] = 1
    reach = np.array([levels(d, x) for x in unit]).T  # level of each job a unit of each x
    rows = np.block([[rows, np.zeros((4, 1))], [-reach, np.ones((2, 1))]])
    expected = best_vertex(np.array([0, 0, 0, 0, 1.0]), rows, np.concatenate([limits, [0, 0]]))
    assert levels(d, max_min(d)).min() == pytest.approx(expected, rel=1e-5)


@st.composite
def demands(draw):
    types = draw(st.integers(1, 3))
    total = [draw(st.integers(1, 5)) for _ in range(types)]
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        row = [draw(st.one_of(st.none(), st.floats(0.1, 1e5))) for _ in range(types)]
        row[draw(st.integers(0, types - 1))] = draw(st.floats(0.1, 1e5))
        rows.append(row)
    jobs = [draw(st.integers(1, 4)) for _ in rows]
    return demand(rows, total, jobs=jobs)


@settings(max_examples=examples(100))
@given(demands(), st.sampled_from(sorted(ALLOCATIONS)))
def test_an_allocation_fits_time_and_gpus(d, objective):
    x = ALLOCATIONS[objective](d)
    assert (x >= -1e-9).all()
    assert (x[~np.isfinite(d.seconds)] == 0).all()
    assert (x.sum(axis=1) <= 1 + 1e-6).all()
    assert ((d.jobs[:, None] * d.gpus * x).sum(axis=0) <= d.total + 1e-6).all()


@settings(max_examples=examples(100))
@given(demands())
def test_nobody_gets_less_than_by_an_equal_share(d):
    """The sharing incentive of the source's section 4.4: N_j / n of every type for each of n narrow jobs, or all."""
    share = min(1, d.total.sum() / d.jobs.sum())
    assert levels(d, max_min(d)).min() >= share * (1 - 1e-5)


@settings(max_examples=examples(60))
@given(demands(), st.floats(1e-3, 1e3))
def test_a_job_in_another_unit_reaches_the_same_level(d, factor):
    seconds = d.seconds.copy()
    seconds[0] *= factor
    other = demand([[None if np.isinf(s) else s for s in row] for row in seconds], d.total, jobs=d.jobs)
    assert levels(d, max_min(other)).min() == pytest.approx(levels(d, max_min(d)).min(), rel=1e-5)


@settings(max_examples=examples(60))
@given(demands(), st.sampled_from(sorted(ALLOCATIONS)))
def test_a_group_is_its_jobs_one_by_one(d, objective):
    apart = d.jobs.astype(int)
    rows = [[None if np.isinf(s) else s for s in row] for row in np.repeat(d.seconds, apart, axis=0)]
    single = demand(rows, d.total)
    if objective == "max_min":
        together, alone = (levels(e, max_min(e)).min() for e in (d, single))
    else:
        gain = (lambda e: 1 / e.seconds) if objective == "throughput" else (lambda e: np.isfinite(e.seconds) / e.kwh)
        together, alone = ((e.jobs[:, None] * gain(e) * ALLOCATIONS[objective](e)).sum() for e in (d, single))
    assert together == pytest.approx(alone, rel=1e-5)


def test_the_first_job_leaves_the_better_type_to_the_one_that_needs_it():
    jobs = [job("first", A=(10, 1), B=(12, 1)), job("second", A=(10, 1), B=(100, 1))]
    for objective in ("throughput", "max_min"):
        got = timeline(gavel(objective=objective), {"A": 1, "B": 1}, *jobs)
        assert sorted(got) == [("first", "B", 0, 12), ("second", "A", 0, 10)]


def test_a_running_job_stays_and_a_job_waits_for_a_greener_type_where_that_pays():
    """B shared by the running job and the newcomer: all of B to whoever makes more of a kWh."""
    hungry = [job("runs", B=(50, 2)), job("new", 1, A=(5, 100), B=(5, 1))]
    frugal = [job("runs", B=(50, 0.5)), job("new", 1, A=(5, 100), B=(5, 1))]
    policy = gavel(objective="energy")
    assert timeline(policy, {"A": 1, "B": 1}, *hungry) == [("runs", "B", 0, 50), ("new", "B", 50, 55)]
    assert timeline(policy, {"A": 1, "B": 1}, *frugal) == [("runs", "B", 0, 50), ("new", "A", 1, 6)]


def test_running_jobs_count_on_the_type_they_hold_and_alike_jobs_in_one_row():
    seen = {"A": Prediction(runtime_s=10, energy_kwh=1), "B": Prediction(runtime_s=20, energy_kwh=2)}
    jobs = {name: Job(job_id=name, submit_s=0.0, gpus=2, gpus_by_type={"B": 1}) for name in ("runs", "x", "y")}
    cluster = replay([
        GpusJoined(time_s=0.0, node="n", gpu_type="A", gpus=4),
        GpusJoined(time_s=0.0, node="n", gpu_type="B", gpus=3),
        *(JobSubmitted(time_s=0.0, job=one, predictions=seen) for one in jobs.values()),
        JobPlaced(time_s=0.0, job_id="runs", attempt=1, gpu_type="B", gpus=1),
    ])  # fmt: skip
    got, members = demand_of(cluster, cluster.queue())
    assert members == [["runs"], ["x", "y"]]
    assert got.seconds.tolist() == [[np.inf, 20], [10, 20]]
    assert got.gpus.tolist() == [[0, 1], [2, 1]]
    assert got.kwh.tolist() == [[0, 2], [1, 2]]
    assert (got.width.tolist(), got.jobs.tolist(), got.total.tolist()) == ([2, 2], [1, 2], [4, 3])


def test_alike_jobs_go_by_the_queue_and_start_on_the_more_powerful_type():
    got = timeline(gavel(), {"A": 2, "B": 1}, *(job(name, A=(10, 1), B=(10, 1)) for name in "cab"))
    assert got == [("a", "A", 0, 10), ("b", "A", 0, 10), ("c", "B", 0, 10)]


def test_jobs_beyond_the_horizon_still_run():
    jobs = [job(f"{k:02}", A=(2, 1), B=(3, 1)) for k in range(20)]
    assert len(timeline(gavel(horizon=3), {"A": 1, "B": 1}, *jobs)) == 20


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"objective": "cost"}, "objective must be one of max_min, throughput, energy, got 'cost'"),
        ({"horizon": 0}, "horizon must be >= 1, got 0"),
    ],
)
def test_what_it_cannot_do_is_refused(parameters, problem):
    with pytest.raises(InputError, match=problem):
        gavel(**parameters)

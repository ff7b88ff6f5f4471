"""A price that steers itself under operators' orders: it sees the whole queue, and its shadows have the same orders."""

import pytest

from kilowait.cluster.advance import advance
from kilowait.cluster.events import (
    AttemptFinished,
    GpusHeld,
    GpusJoined,
    JobPlaced,
    JobSubmitted,
    MaintenanceSet,
    NodesReserved,
    QuotaSet,
)
from kilowait.core.jobs import Job, Prediction
from kilowait.core.maintenance import Maintenance, NodeReservation
from kilowait.core.quotas import Quota
from kilowait.live.deciding import held_to
from kilowait.policies.patient import patient
from kilowait.policies.sjf import sjf
from kilowait.policies.steering.shadow import ShadowRun
from kilowait.policies.steering.steered import price_in_force
from kilowait.policies.wrappers.outside_windows import outside_windows
from tests.support.short_jobs import placed, short_jobs


def test_a_quota_that_hides_jobs_leaves_the_price_as_it_was_learned(one_board):
    """A second board, and a user who may have one of them: three jobs wait as they would under a limited value,
    whatever the price, so the highest is found: three jobs' weight on 16,000 s, ten's on 1,000 s, each time."""
    advance(one_board, GpusJoined(time_s=0.0, node="m", gpu_type="A", gpus=1))
    advance(one_board, QuotaSet(time_s=0.0, quota=Quota(name="each", gpus=1)))
    policy = held_to(patient(max_extra_wait=0.0))
    short_jobs(one_board, "a", "b", "c", user="ada")
    for number, job_id in enumerate("abc"):
        one_board.now_s = 100.0 * number
        assert [place.job_id for place in policy(one_board)] == [job_id]
        assert price_in_force(policy) == pytest.approx((1000.0**10 * 16_000.0**3) ** (1 / 13))
        placed(one_board, job_id, where=one_board.locate(one_board.waiting[job_id], "A"))
        one_board.now_s += 50.0
        assert policy(one_board) == []  # those that wait are hidden
        advance(one_board, AttemptFinished(time_s=100.0 * (number + 1), job_id=job_id, attempt=1))


def test_shadows_know_what_users_have_had_of_a_month(one_board):
    """A job took 1 of the 1.5 kWh that `ada` may have in 30 days: another waits, in the shadows of a price that only
    begins to steer itself then as well, and so does not lower it."""
    advance(one_board, QuotaSet(time_s=0.0, quota=Quota(name="each", kwh=1.5)))
    one_board.count_submissions()
    short_jobs(one_board, "a", user="ada", kwh=1.0)
    placed(one_board, "a")
    advance(one_board, AttemptFinished(time_s=100.0, job_id="a", attempt=1))
    policy = held_to(patient(max_extra_wait=0.0))
    short_jobs(one_board, "b", user="ada", kwh=1.0)
    assert policy(one_board) == []
    one_board.now_s = 10_000.0
    short_jobs(one_board, "c", user="eve", kwh=1.0)
    assert [place.job_id for place in policy(one_board)] == ["c"]
    assert price_in_force(policy) == pytest.approx((1000.0**10 * 16_000.0**2) ** (1 / 12))


UNTIL_S = 1000.0
"""Until then nobody may start: then two jobs have waited for all that time, whatever the policy."""


def maintenance(cluster, node):
    planned = Maintenance(node=node, begins_s=50.0, ends_s=UNTIL_S)
    advance(cluster, MaintenanceSet(time_s=0.0, maintenance=planned))


def reservation(cluster, node):
    kept = NodeReservation(name=node, nodes=(node,), begins_s=50.0, ends_s=UNTIL_S, users=("eve",))
    advance(cluster, NodesReserved(time_s=0.0, reservation=kept))


def other_work(cluster, node):
    gpu_type = next(t for name, t in cluster.nodes if name == node)
    gpus = 1 if cluster.now_s < UNTIL_S else 0
    advance(cluster, GpusHeld(time_s=cluster.now_s, node=node, gpu_type=gpu_type, gpus=gpus))


@pytest.mark.parametrize("order", [maintenance, reservation, other_work])
def test_waits_for_nodes_that_are_not_to_be_had_leave_the_price_as_it_was_learned(one_board, order):
    """Each job takes 100 s, and 1 kWh more on B: on A one after the other three of them wait 300 s, which is less than
    the 360 s that they may wait longer than under Value: so the highest price is found, three jobs' weight on 16,000 s
    beside ten's on 1,000 s. Were the 2,000 s not waited in the shadows too, it would be the lowest."""
    advance(one_board, GpusJoined(time_s=0.0, node="m", gpu_type="B", gpus=1))
    for node in "nm":
        order(one_board, node)
    policy, seen = held_to(patient(max_extra_wait=0.0)), {
        t: Prediction(runtime_s=100, energy_kwh=kwh) for t, kwh in (("A", 0.0), ("B", 1.0))
    }  # fmt: skip
    for name in "ab":
        advance(one_board, JobSubmitted(time_s=0.0, job=Job(job_id=name, submit_s=0.0), predictions=seen))
    assert policy(one_board) == []
    one_board.now_s = UNTIL_S
    if order is other_work:
        for node in "nm":
            order(one_board, node)
    advance(one_board, JobSubmitted(time_s=UNTIL_S, job=Job(job_id="c", submit_s=UNTIL_S), predictions=seen))
    assert [place.gpu_type for place in policy(one_board)] == ["A"]
    assert price_in_force(policy) == pytest.approx((1000.0**10 * 16_000.0**3) ** (1 / 13))


def test_a_shadow_has_the_nodes_and_windows_of_the_cluster_and_what_runs_there(one_board):
    """On n runs "a" until 100 s; m is away from 50 to 1,000 s, and "short" is over on it before. "long" waits for
    100 s, since n is free before m is back; another like it waits for 300 s."""
    advance(one_board, GpusJoined(time_s=0.0, node="m", gpu_type="A", gpus=1))
    maintenance(one_board, "m")
    short_jobs(one_board, "a")
    where = one_board.locate(one_board.waiting["a"], "A")
    advance(one_board, JobPlaced(time_s=0.0, job_id="a", attempt=1, gpu_type="A", gpus=1, where=where))
    assert where[0].node == "n"
    for name, seconds in (("short", 50.0), ("long", 200.0), ("longer", 200.0)):
        told = {"A": Prediction(runtime_s=seconds, energy_kwh=0.0)}
        advance(one_board, JobSubmitted(time_s=0.0, job=Job(job_id=name, submit_s=0.0), predictions=told))
    shadow = ShadowRun.beside(one_board, outside_windows(sjf()))
    shadow.run_until(0.0, list(one_board.queue()))
    assert {job_id: active.where[0].node for job_id, active in shadow.cluster.active.items()} == {
        "a": "n",
        "short": "m",
    }
    assert shadow.to_come_s() == 100.0 + 300.0
    assert ShadowRun.going_on(one_board, outside_windows(sjf()), longer=1.0).to_come_s() == 100.0 + 300.0

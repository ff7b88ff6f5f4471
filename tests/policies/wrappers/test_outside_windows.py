"""Nothing runs on a node within its maintenance, or beside a reservation that is others', whatever policy decides."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import (
    AttemptFinished,
    GpusJoined,
    JobPlaced,
    JobSubmitted,
    MaintenanceSet,
    NodesReserved,
    QuotaSet,
)
from kilowait.cluster.saved_cluster import restored, saved
from kilowait.core.errors import IllegalEvent, InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.core.maintenance import Maintenance, NodeReservation, checked_reservation
from kilowait.core.quotas import Quota
from kilowait.policies import POLICIES
from kilowait.policies.wrappers.outside_windows import outside_windows

VISION = NodesReserved(
    time_s=0.0,
    reservation=NodeReservation(name="r", nodes=("n2", "m1"), begins_s=40.0, ends_s=90.0, projects=("vision",)),
)
QUOTA = QuotaSet(time_s=0.0, quota=Quota(name="vision", members=("ada",), gpus=100))


def maintained(node, begins_s, ends_s):
    return MaintenanceSet(time_s=0.0, maintenance=Maintenance(node=node, begins_s=begins_s, ends_s=ends_s))


def cluster_of(*orders, nodes=(("n1", "A"), ("n2", "A"), ("m1", "B"))):
    """Nodes of two boards, and what was ordered of them."""
    return replay([*(GpusJoined(time_s=0.0, node=node, gpu_type=t, gpus=2) for node, t in nodes), *orders])


def made(name):
    rule = POLICIES[name]
    return rule(**({"kappa": 1.0} if "kappa" in rule.takes else {}))


def asked(cluster, job_id, seconds, submit_s=0.0, **fields):
    seen = {t: Prediction(runtime_s=seconds, energy_kwh=0.01) for t in cluster.total}
    job = Job(job_id=job_id, submit_s=submit_s, **{"user": "bob", **fields})
    advance(cluster, JobSubmitted(time_s=max(cluster.now_s, submit_s), job=job, predictions=seen))


def started(cluster, policy):
    """What a policy starts now, as (job, nodes)."""
    found = []
    for one in policy(cluster):
        waiting = cluster.waiting[one.job_id]
        where = one.where or cluster.locate(waiting, one.gpu_type)
        event = JobPlaced(
            time_s=cluster.now_s,
            job_id=one.job_id,
            attempt=waiting.attempt,
            gpu_type=one.gpu_type,
            gpus=waiting.gpus[one.gpu_type],
            where=where,
        )
        advance(cluster, event)
        found.append((one.job_id, {held.node for held in where}))
    return found


def timeline(cluster, policy, jobs, moments):
    """(job, node, start, end) of all jobs with exact predictions; the policy is asked at ends and at `moments`."""
    todo, found = list(jobs), []
    times = sorted({*moments, *(job["submit_s"] for job in todo)})
    while times or cluster.active:
        ends = {a.placed_s + a.predictions[a.gpu_type].runtime_s: a for a in cluster.active.values()}
        cluster.now_s = now_s = min([*times[:1], *ends])
        for active in [a for a in cluster.active.values() if a.placed_s + a.predictions[a.gpu_type].runtime_s == now_s]:
            advance(cluster, AttemptFinished(time_s=now_s, job_id=active.job.job_id, attempt=1))
        for job in [job for job in todo if job["submit_s"] <= now_s]:
            asked(cluster, **job)
            todo.remove(job)
        times = [time_s for time_s in times if time_s > now_s]
        while more := started(cluster, policy):
            seconds = {job["job_id"]: job["seconds"] for job in jobs}
            found += [(job, node, now_s, now_s + seconds[job]) for job, nodes in more for node in nodes]
    return found


JOB = st.fixed_dictionaries(
    {
        "submit_s": st.integers(0, 60).map(float),
        "seconds": st.integers(1, 100).map(float),
        "gpus": st.integers(1, 4),
        "user": st.sampled_from(["ada", "bob"]),
    }
)
SPAN = st.tuples(st.integers(1, 100), st.integers(1, 60)).map(lambda pair: (float(pair[0]), float(sum(pair))))


@pytest.mark.parametrize("name", POLICIES)
@settings(max_examples=8, deadline=None)
@given(jobs=st.lists(JOB, min_size=1, max_size=7), span=SPAN, shares=st.booleans())
def test_no_job_is_on_a_node_within_its_window_and_all_run_in_the_end(name, jobs, span, shares):
    jobs = [{**job, "job_id": f"j{n}"} for n, job in enumerate(jobs)]
    for job in jobs[::3] if shares else ():
        job |= {"gpus": 1, "gpu_milli": 500}
    cluster = cluster_of(QUOTA, maintained("n1", *span), VISION)
    user = {job["job_id"]: job["user"] for job in jobs}
    found = timeline(cluster, outside_windows(made(name)), jobs, [span[1], 90.0])
    assert {job for job, *_ in found} == set(user)
    for job, node, start_s, end_s in found:
        begins_s, ends_s = span if node == "n1" else (40.0, 90.0)
        assert end_s <= begins_s or start_s >= ends_s or (node != "n1" and user[job] == "ada"), (job, node)


def test_whoever_a_reservation_is_for_goes_there_and_others_until_it_begins():
    nodes = (("n1", "A"), ("n2", "A"))
    one = NodeReservation(name="r", nodes=("n2",), begins_s=100.0, ends_s=200.0, users=("ada",))
    cluster = cluster_of(NodesReserved(time_s=0.0, reservation=one), nodes=nodes)
    for job_id, seconds, user in (("hers", 500, "ada"), ("long", 101, "bob"), ("short", 100, "bob")):
        asked(cluster, job_id, float(seconds), user=user)
    asked(cluster, "longer", 900.0, gpus=2)
    assert started(cluster, outside_windows(made("simple"))) == [("hers", {"n2"}), ("long", {"n1"}), ("short", {"n2"})]


@pytest.mark.parametrize("name", ["easy", "conservative", "patient", "milp"])
def test_a_plan_knows_when_a_node_is_back_and_keeps_the_others_free_for_then(name):
    """`four` needs both nodes and cannot be over before n1 is away, so it waits until 200; `short` is over on n2 by
    then, and `long` would make it wait."""
    cluster = cluster_of(maintained("n1", 50.0, 200.0), nodes=(("n1", "A"), ("n2", "A")))
    jobs = [
        {"job_id": "four", "seconds": 100.0, "submit_s": 0.0, "gpus": 4},
        {"job_id": "short", "seconds": 150.0, "submit_s": 1.0, "gpus": 2},
        {"job_id": "long", "seconds": 400.0, "submit_s": 2.0, "gpus": 2},
    ]
    starts = {job: start_s for job, _, start_s, _ in timeline(cluster, outside_windows(made(name)), jobs, [200.0])}
    assert starts == {"four": 200.0, "short": 1.0, "long": 300.0}


def test_a_reservation_is_kept_taken_back_and_refused_for_a_node_that_is_not_here():
    cluster = cluster_of(QUOTA, VISION)
    assert restored(saved(cluster)).reservations == {"r": VISION.reservation}
    elsewhere = NodeReservation(name="x", nodes=("n9",), begins_s=1.0, ends_s=2.0, users=("ada",))
    with pytest.raises(IllegalEvent, match="node n9: it is not here, and cannot be reserved"):
        advance(cluster, NodesReserved(time_s=0.0, reservation=elsewhere))
    over = NodeReservation(name="r", nodes=("n2",), begins_s=0.0, ends_s=0.0, users=("ada",))
    advance(cluster, NodesReserved(time_s=0.0, reservation=over))
    assert cluster.reservations == {}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"users": ()}, "it is for nobody"),
        ({"nodes": ()}, "it is of no node"),
        ({"ends_s": 5.0}, "ends_s must be finite and not before begins_s, got 10.0 to 5.0"),
        ({"name": ""}, "a name has 1 to"),
        ({"reason": "x" * 500}, "reason has at most"),
        ({"users": ("u",) * 1001}, "at most 1000 users, got 1001"),
    ],
)
def test_a_reservation_that_cannot_be_is_refused_by_its_field(fields, message):
    well = {"name": "r", "nodes": ("n",), "begins_s": 10.0, "ends_s": 20.0, "users": ("ada",)}
    with pytest.raises(InputError, match=message):
        checked_reservation(NodeReservation(**{**well, **fields}))

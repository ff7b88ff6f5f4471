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
from kilowait.core.jobs import Held, Job, Prediction
from kilowait.core.maintenance import Maintenance, NodeReservation, checked_reservation
from kilowait.core.quotas import Quota
from kilowait.policies import POLICIES
from kilowait.policies.decisions import Place, Preempt
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


def two_that_run(begins_s):
    """ "one" on the boards of n1 and "two" on those of n2, which is maintained from then on, both for 1,000 s more."""
    nodes = (("n1", "A"), ("n2", "A"))
    cluster = cluster_of(maintained("n2", begins_s, begins_s + 100.0), nodes=nodes)
    for job_id, node in (("one", "n1"), ("two", "n2")):
        asked(cluster, job_id, 1000.0, gpus=2, checkpoint_s=1.0)
        where = (Held(node=node, gpus=2),)
        advance(cluster, JobPlaced(time_s=0.0, job_id=job_id, attempt=1, gpu_type="A", gpus=2, where=where))
    return cluster


def settled(cluster, *decisions):
    """Which of these decisions of a policy are left, as (verb, job, nodes)."""
    found = outside_windows(lambda shown: [one for one in decisions if isinstance(one, Preempt)
                                           or one.job_id in {*shown.waiting, *shown.active}])(cluster)  # fmt: skip
    return [(type(one).__name__, one.job_id, *(held.node for held in getattr(one, "where", ()))) for one in found]


def stop(job_id):
    return Preempt(job_id=job_id)


def place(job_id, *where):
    return Place(job_id=job_id, gpu_type="A", where=where)


@pytest.mark.parametrize(("begins_s", "gives_way"), [(5000.0, True), (60.0, False)])
def test_a_job_gives_way_for_one_that_may_start_there_and_for_no_other(begins_s, gives_way):
    """Shortest first: "short" needs all four boards for 100 s, which n2 has until its maintenance or has not."""
    cluster = two_that_run(begins_s)
    asked(cluster, "short", 100.0, gpus=4)
    found = outside_windows(POLICIES["srpt"]())(cluster)
    assert {one.job_id for one in found if isinstance(one, Preempt)} == ({"one", "two"} if gives_way else set())
    assert {one.job_id for one in found if isinstance(one, Place)} == ({"short"} if gives_way else set())


def test_of_those_who_give_way_only_who_does_so_in_vain_runs_on():
    cluster = two_that_run(60.0)
    for job_id in ("short", "long"):
        asked(cluster, job_id, 50.0 if job_id == "short" else 500.0, gpus=2)
    first, second = (stop("one"), place("long")), (stop("two"), place("short"))
    wrong = (stop("two"), place("long", Held(node="n2", gpus=2)))
    assert settled(cluster, *first, *second) == [
        ("Preempt", "one"), ("Place", "long", "n1"), ("Preempt", "two"), ("Place", "short", "n2"),
    ]  # fmt: skip
    assert settled(cluster, *wrong) == []
    assert settled(cluster, stop("two"), place("long"), stop("one"), place("short")) == [
        ("Preempt", "one"), ("Place", "short", "n1"),
    ]  # fmt: skip
    assert settled(cluster, stop("two"), stop("one")) == [("Preempt", "two"), ("Preempt", "one")]


@pytest.mark.parametrize(("begins_s", "moves"), [(5000.0, True), (60.0, False)])
def test_a_job_moves_where_it_may_be_and_else_stays(begins_s, moves):
    """ "two" is over; "one" would make room on n1 by going to n2, which is maintained before it would be done."""
    cluster = two_that_run(begins_s)
    advance(cluster, AttemptFinished(time_s=1.0, job_id="two", attempt=1))
    asked(cluster, "next", 2000.0, submit_s=1.0, gpus=2)
    plan = stop("one"), place("next", Held(node="n1", gpus=2)), place("one", Held(node="n2", gpus=2))
    moved = [("Preempt", "one"), ("Place", "next", "n1"), ("Place", "one", "n2")]
    assert settled(cluster, *plan) == (moved if moves else [])

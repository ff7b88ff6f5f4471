"""What would not be over when a node is maintained is not started on it; it drains then, and comes back."""

import pytest

from kilowait.core.errors import IllegalEvent, InputError
from kilowait.core.maintenance import Maintenance, NodeReservation
from kilowait.core.quotas import Quota
from kilowait.core.submission import Ending
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.live.operator_orders.maintaining import end_maintenance, keep_maintenance
from kilowait.policies import POLICIES
from tests.support.desk_world import DeskWorld, Remote
from tests.support.live_world import request, seen

pytestmark = pytest.mark.ray  # what a user is answered is the desk's, which speaks to an actor

WELL = Ending(exit_code=0)


def begun(url, policy="simple"):
    rule = POLICIES[policy]
    live = Controller(Store(url), rule(**({"kappa": 1.0} if "kappa" in rule.takes else {})), order=("A",))
    for node in ("n1", "n2"):
        live.node_joined(node, "A", 2, 1.0)
    live.ordered(Maintenance(node="n1", begins_s=100.0, ends_s=200.0, reason="fans"), 2.0)
    return live


@pytest.fixture
def live(tmp_path):
    live = begun(f"sqlite:///{tmp_path}/kilowait.db")
    yield live
    live.store.close()


def submitted(live, key, runtime_s, at_s=3.0, **fields):
    return live.submit(request(key, predictions=seen(A=(runtime_s, 1)), **fields), at_s)


def nodes_of(live, at_s):
    """By job, the nodes of those that run, once nothing more starts."""
    while live.decide(at_s):
        pass
    return {job_id: {held.node for held in one.where} for job_id, one in live.cluster.active.items()}


@pytest.mark.parametrize("policy", ["simple", "value", "easy", "aged(patient,7d)", "shared(value)"])
def test_long_jobs_wait_for_other_nodes_and_short_ones_run_before(tmp_path, policy):
    live = begun(f"sqlite:///{tmp_path}/kilowait.db", policy)
    long = [submitted(live, f"long {n}", 98.0) for n in range(3)]
    short = submitted(live, "short", 50.0)
    where = nodes_of(live, 4.0)
    assert sum(job in where for job in long) == 2
    assert all(where[job] == {"n2"} for job in long if job in where)
    assert where[short] == {"n1"}
    live.store.close()


def test_a_wide_job_and_shares_of_a_board_keep_off_too(live):
    shares = [submitted(live, f"s{n}", 150.0, gpu_milli=500) for n in range(5)]
    wide = submitted(live, "wide", 150.0, gpus=3)
    where = nodes_of(live, 4.0)
    assert wide not in where
    assert {node for job in shares if job in where for node in where[job]} == {"n2"}
    assert sum(job in where for job in shares) == 4  # halves of two boards


def test_a_node_drains_when_it_begins_and_has_jobs_again_when_it_ends(live):
    short = submitted(live, "short", 50.0, gpus=2)
    nodes_of(live, 4.0)
    keep_maintenance(live, 99.0)
    assert not live.cluster.draining
    for at_s in (100.0, 101.0):
        keep_maintenance(live, at_s)
    assert live.cluster.draining == {"n1"}
    assert short in live.cluster.active  # what has overrun goes on
    keep_maintenance(live, 200.0)
    assert (live.cluster.draining, live.cluster.maintenance) == (set(), {})
    submitted(live, "long", 1e6, at_s=201.0, gpus=2)
    assert len(nodes_of(live, 202.0)) == 2


def test_one_that_ray_drains_does_not_come_back(live):
    live.node_drained("n1", 150.0)
    keep_maintenance(live, 200.0, leaving={"n1"})
    assert (live.cluster.draining, live.cluster.maintenance) == ({"n1"}, {})


@pytest.mark.parametrize("planned_again", [False, True])
def test_one_that_was_drained_by_hand_before_it_began_does_not_come_back(live, planned_again):
    live.node_drained("n1", 50.0)
    if planned_again:
        live.ordered(Maintenance(node="n1", begins_s=60.0, ends_s=200.0), 55.0)
    for at_s in (100.0, 200.0):
        keep_maintenance(live, at_s)
    assert (live.cluster.draining, live.cluster.maintenance) == ({"n1"}, {})


def test_one_that_had_jobs_again_before_it_began_comes_back(live):
    live.node_drained("n1", 50.0)
    live.node_undrained("n1", 60.0)
    for at_s in (100.0, 200.0):
        keep_maintenance(live, at_s)
    assert live.cluster.draining == set()


def test_what_is_called_off_holds_nobody_up_and_a_lost_node_has_none(live):
    end_maintenance(live, "n1", 3.0)
    assert not live.cluster.maintenance
    live.ordered(Maintenance(node="n2", begins_s=100.0, ends_s=200.0), 4.0)
    live.node_lost("n2", "gone", 5.0)
    assert not live.cluster.maintenance
    with pytest.raises(IllegalEvent, match="node n2: it is not here"):
        live.ordered(Maintenance(node="n2", begins_s=100.0, ends_s=200.0), 6.0)
    with pytest.raises(InputError, match="not before begins_s"):
        live.ordered(Maintenance(node="n1", begins_s=300.0, ends_s=200.0), 7.0)


def test_quotas_hold_over_all_nodes_together(live):
    live.ordered(Quota(name="everybody", gpus=3), 3.0)
    for n in range(4):
        submitted(live, f"short {n}", 50.0)
    assert len(nodes_of(live, 4.0)) == 3


def test_operators_plan_it_and_everybody_sees_it(tmp_path):
    told = []

    class Told(Remote):
        async def remote(self, maintenance):
            told.append(maintenance)

    with DeskWorld(tmp_path) as world:
        world.scheduler.order = Told(None)
        body = {"begins_s": 100.0, "ends_s": 200.0, "reason": "fans"}
        assert world.call("PUT", "/v1/nodes/n1/maintenance", json=body).status_code == 403
        assert world.call("PUT", "/v1/nodes/n1/maintenance", "operator", json=body).status_code == 202
        assert told == [Maintenance(node="n1", **body)]


def test_a_reservation_ends_by_itself_and_others_have_the_node_again(live):
    live.ordered(Maintenance(node="n1", begins_s=1.0, ends_s=1.0), 2.0)
    live.ordered(NodeReservation(name="r", nodes=("n1",), begins_s=10.0, ends_s=50.0, users=("bob",)), 2.0)
    jobs = [submitted(live, f"j{n}", 30.0, gpus=2) for n in range(2)]  # ada's
    assert nodes_of(live, 4.0) == {jobs[0]: {"n2"}}
    keep_maintenance(live, 49.0)
    assert live.cluster.reservations
    keep_maintenance(live, 50.0)
    assert not live.cluster.reservations
    assert nodes_of(live, 50.0)[jobs[1]] == {"n1"}
    assert not Controller(live.store, POLICIES["simple"](), order=("A",)).cluster.reservations


def test_operators_reserve_nodes_and_everybody_sees_for_whom(tmp_path):
    orders = []

    class Told(Remote):
        async def remote(self, order):
            orders.append(order)

    with DeskWorld(tmp_path) as world:
        live = Controller(world.store, POLICIES["simple"](), order=("A",))
        live.node_joined("n1", "A", 2, 1.0)
        world.scheduler.order = Told(None)
        body = {"nodes": ["n1"], "begins_s": 100.0, "ends_s": 1e10, "users": ["ada"], "reason": "a demonstration"}
        assert world.call("PUT", "/v1/reservations/demo", json=body).status_code == 403
        assert world.call("PUT", "/v1/reservations/demo", "operator", json=body).status_code == 204
        unknown = world.call("PUT", "/v1/reservations/demo", "operator", json={**body, "projects": ["vision"]})
        assert (unknown.status_code, unknown.json()["detail"]) == (422, "no project 'vision'")
        past = world.call("PUT", "/v1/reservations/demo", "operator", json={**body, "ends_s": 200.0})
        assert (past.status_code, past.json()["field"]) == (422, "ends_s")
        assert world.call("DELETE", "/v1/reservations/demo", "operator").status_code == 404
        live.ordered(orders[0], 3.0)
        kept = {**body, "projects": [], "name": "demo"}
        assert world.call("GET", "/v1/reservations", "reader").json() == {"reservations": [kept]}
        (window,) = world.call("GET", "/v1/timeline?width_px=800", "reader").json()["windows"]
        assert (window["rows"], window["said"]) == ([0, 1], "reserved for ada: a demonstration")
        assert world.call("DELETE", "/v1/reservations/demo", "operator").status_code == 204
        live.ordered(orders[1], 4.0)
        assert world.call("GET", "/v1/reservations", "reader").json() == {"reservations": []}

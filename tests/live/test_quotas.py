"""What projects and users may have: at a time, in the queue, in a month; and who is told of it."""

import pytest

from kilowait.core.errors import InputError, QuotaReached
from kilowait.core.quotas import Quota
from kilowait.core.submission import Ending
from kilowait.core.tasks.array_request import ArrayRequest, TaskAsked
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from tests.support.desk_world import DeskWorld, Remote
from tests.support.live_world import request, seen

pytestmark = pytest.mark.ray  # what a user is answered is the desk's, which speaks to an actor

WELL = Ending(exit_code=0)


def begun(url):
    live = Controller(Store(url), simple(), order=("A",))
    live.node_joined("n1", "A", 8, 1.0)
    return live


def begun_again(live):
    return Controller(Store(live.store.name), simple(), order=("A",))


@pytest.fixture
def live(tmp_path):
    live = begun(f"sqlite:///{tmp_path}/kilowait.db")
    yield live
    live.store.close()


@pytest.fixture
def priced(monkeypatch):
    """An hour of an A costs 3600, so a job of 10 s on one costs 10."""
    for where in ("kilowait.cluster.views.usage", "kilowait.policies.wrappers.limited"):
        monkeypatch.setattr(f"{where}.price_per_hour", lambda gpu_type: 3600.0 if gpu_type == "A" else 0.0)


class Orders(Remote):
    """Of the scheduler: what an operator orders is done to `live`, and kept in `told`."""

    def __init__(self, live):
        self.live, self.told = live, []

    async def remote(self, quota):
        self.told.append(quota)
        self.live.ordered(quota, 2.0)


def asked(live, user, count=1, at_s=2.0, **fields):
    requests = [request(f"{user} {at_s} {n}", user=user, predictions=seen(A=(10, 1)), **fields) for n in range(count)]
    return live.submit_all(requests, at_s)


def started(live, at_s):
    """How many jobs of each user run, once nothing more starts."""
    while live.decide(at_s):
        pass
    users = [active.job.user for active in live.cluster.active.values()]
    return {user: users.count(user) for user in users}


def test_a_projects_members_hold_no_more_together_and_others_find_room(live):
    live.ordered(Quota(name="vision", members=("ada", "bob"), gpus=3), 1.5)
    asked(live, "ada", 5), asked(live, "bob", 5), asked(live, "cy", 2)
    assert started(live, 3.0) == {"ada": 3, "cy": 2}
    first = next(attempt for attempt in live.all_running() if attempt.owner == "ada")
    live.attempt_finished(first.job_id, 1, first.token, WELL, 4.0)
    assert started(live, 5.0) == {"ada": 3, "cy": 2}
    live.ordered(Quota(name="vision"), 6.0)
    assert started(live, 7.0) == {"ada": 4, "bob": 2, "cy": 2}


@pytest.mark.parametrize(("kind", "each"), [({"gpus": 2}, 2), ({"kwh": 3.5}, 3)])
def test_a_quota_without_members_is_of_each_user_alone(live, kind, each):
    live.ordered(Quota(name="everybody", **kind), 1.5)
    asked(live, "ada", 4), asked(live, "bob", 1)
    assert started(live, 3.0) == {"ada": each, "bob": 1}


def test_what_gpus_cost_in_a_month_is_bounded_and_is_free_again_a_month_later(live, priced):
    live.ordered(Quota(name="everybody", cost=25.0), 1.5)
    asked(live, "ada", 4), asked(live, "bob", 1)
    assert started(live, 3.0) == {"ada": 2, "bob": 1}
    for attempt in list(live.all_running()):
        live.attempt_finished(attempt.job_id, 1, attempt.token, WELL, 13.0)
    assert started(live, 14.0) == {}
    assert started(live, 14.0 + 30 * 86400) == {"ada": 2}
    again = begun_again(live)
    assert again.cluster.usage.month_cost([], 14.0 + 30 * 86400) == {}
    again.store.close()


def test_more_jobs_than_may_wait_are_refused_but_not_those_that_were_taken_in(live):
    live.ordered(Quota(name="everybody", jobs=3), 1.5)
    first, second, third, fourth = asked(live, "ada", 4)
    assert isinstance(fourth, QuotaReached)
    assert "each user (everybody) is 3 waiting jobs, 3 wait and 1 more is asked for" in str(fourth)
    assert asked(live, "ada", 3) == [first, second, third]  # by their keys
    assert [type(answer) for answer in asked(live, "bob")] == [str]
    tasks = tuple(
        TaskAsked(task=n, arguments=(), environment={}, predictions=seen(A=(10, 1)), content_hash="h") for n in range(4)
    )
    with pytest.raises(QuotaReached, match="0 wait and 4 more are asked for"):
        live.submit_array(ArrayRequest(request=request("array", user="cy"), tasks=tasks), 3.0)
    live.decide(4.0)
    assert [type(answer) for answer in asked(live, "ada", 3, at_s=5.0)] == [str] * 3


def test_a_job_that_could_never_run_under_a_quota_is_refused(live):
    live.ordered(Quota(name="vision", members=("ada",), gpus=3), 1.5)
    (refusal,) = asked(live, "ada", gpus=4)
    assert str(refusal) == "gpus: the job needs 4 GPUs, the quota of project vision is 3; ask for fewer"
    assert isinstance(asked(live, "bob", gpus=4)[0], str)


@pytest.mark.parametrize(
    "quota",
    [
        Quota(name="", gpus=1),
        Quota(name="a\x00b", gpus=1),
        Quota(name="x", gpus=0),
        Quota(name="x", kwh=float("nan")),
        Quota(name="x", members=("",), jobs=1),
        Quota(name="x", members=("ada",), admins=("bob",) * 1001, jobs=1),
    ],
)
def test_a_bad_quota_changes_nothing(live, quota):
    with pytest.raises(InputError, match="quota: "):
        live.ordered(quota, 2.0)
    assert not live.cluster.quotas


def test_the_api_lets_operators_set_what_users_see(tmp_path):
    live = begun(f"sqlite:///{tmp_path}/kilowait.db")
    with DeskWorld(tmp_path) as world:
        world.scheduler.order = orders = Orders(live)
        body = {"members": ["ada", "bob"], "gpus": 2, "jobs": 10}
        assert world.call("PUT", "/v1/quotas/vision", json=body).status_code == 403
        assert world.call("PUT", "/v1/quotas/vision", "operator", json=body).status_code == 204
        assert orders.told == [Quota(name="vision", members=("ada", "bob"), gpus=2, jobs=10)]
        job_ids = asked(live, "ada", 3)
        live.decide(3.0)
        (seen_quota,) = world.call("GET", "/v1/quotas").json()["quotas"]
        had = {"gpus": 2.0, "jobs": 1, "kwh": seen_quota["had"]["kwh"], "cost": 0.0}  # kWh grow as jobs overrun
        more = {"kwh": None, "cost": None, "admins": [], "by_member": []}
        assert seen_quota == {"name": "vision", **body, **more, "had": had}
        assert world.call("GET", "/v1/quotas", "reader").json() == {"quotas": []}  # it is no concern of theirs
        why = world.call("GET", f"/v1/jobs/{job_ids[2]}/why").json()["summary"]
        assert why == "the quota of project vision is in the way: 2 of 2 GPUs are had"
        assert world.call("DELETE", "/v1/quotas/vision", "operator").status_code == 204
        assert world.call("DELETE", "/v1/quotas/vision", "operator").status_code == 404
        assert world.call("GET", "/v1/quotas").json() == {"quotas": []}
    live.store.close()


def test_an_administrator_sees_the_projects_jobs_and_removes_members_but_adds_none(tmp_path):
    live = begun(f"sqlite:///{tmp_path}/kilowait.db")
    with DeskWorld(tmp_path) as world:
        world.scheduler.order = Orders(live)
        (bobs,) = asked(live, "bob")
        assert world.call("GET", f"/v1/jobs/{bobs}").status_code == 404
        body = {"members": ["bob", "cy"], "admins": ["ada"], "gpus": 2}
        assert world.call("PUT", "/v1/quotas/vision", json=body).status_code == 403
        assert world.call("PUT", "/v1/quotas/vision", "operator", json=body).status_code == 204
        (project,) = world.call("GET", "/v1/quotas").json()["quotas"]
        assert [(one["user"], one["jobs"]) for one in project["by_member"]] == [("bob", 1)]
        assert world.call("GET", f"/v1/jobs/{bobs}").json()["owner"] == "bob"
        assert [row["job_id"] for row in world.call("GET", "/v1/jobs", params={"owner": "bob"}).json()["jobs"]] == [
            bobs
        ]
        assert world.call("GET", "/v1/jobs").json()["jobs"] == []
        assert world.call("PUT", "/v1/quotas/vision", json={**body, "members": ["bob", "dan"]}).status_code == 403
        assert world.call("DELETE", "/v1/quotas/vision/members/dan").status_code == 404
        assert world.call("DELETE", "/v1/quotas/vision/members/bob", "reader").status_code == 403
        assert world.call("DELETE", "/v1/quotas/vision/members/bob").status_code == 204
        assert world.call("GET", "/v1/quotas").json()["quotas"][0]["members"] == ["cy"]
        assert world.call("GET", f"/v1/jobs/{bobs}").status_code == 404
        assert "last member" in world.call("DELETE", "/v1/quotas/vision/members/cy").json()["detail"]
        refused = world.call("PUT", "/v1/quotas/dear", "operator", json={"members": ["bob"], "cost": 5.0})
        assert (refused.status_code, refused.json()["detail"]) == (422, "cost: no GPU type here has a price")
    live.store.close()


def test_what_a_quota_refuses_is_refused_before_anything_is_predicted(tmp_path):
    live = begun(f"sqlite:///{tmp_path}/kilowait.db")
    live.ordered(Quota(name="everybody", jobs=2), 1.5)
    asked(live, "ada", 2)
    with DeskWorld(tmp_path) as world:
        assert world.call("GET", "/v1/quotas").status_code == 200
        answer = world.call("POST", "/v1/jobs", json={"source": "print(1)"})
        assert (answer.status_code, answer.json()["title"]) == (429, "quota reached")
        assert "2 wait and 1 more is asked for" in answer.json()["detail"]
        assert not world.desk.forecasts.method_calls
    live.store.close()


def test_whom_an_administrator_lets_go_is_held_to_the_limits_alone_until_an_operator_frees_that_one(tmp_path):
    with DeskWorld(tmp_path) as world:
        live = Controller(world.store, simple(), order=("A",))
        live.node_joined("n1", "A", 8, 1.0)
        world.scheduler.order = Orders(live)
        body = {"members": ["bob", "cy/x"], "admins": ["ada"], "gpus": 2, "jobs": 3}
        assert world.call("PUT", "/v1/quotas/vision", "operator", json=body).status_code == 204
        assert world.call("DELETE", "/v1/quotas/vision/members/cy%2Fx").status_code == 204
        asked(live, "bob", 2)
        asked(live, "cy/x", 3)
        (refused,) = asked(live, "cy/x", 1, at_s=2.5)
        assert "3 waiting jobs, 3 wait" in str(refused)
        started(live, 3.0)
        users = [one.job.user for one in live.cluster.active.values()]
        assert sorted(users) == ["bob", "bob", "cy/x", "cy/x"]
        assert world.call("PUT", "/v1/quotas/vision", "operator", json={**body, "members": ["bob"]}).status_code == 204
        assert live.cluster.quotas["vision"].former == ("cy/x",)
        assert world.call("DELETE", "/v1/quotas/vision/members/cy%2Fx").status_code == 404
        assert world.call("DELETE", "/v1/quotas/vision/members/cy%2Fx", "operator").status_code == 204
        started(live, 4.0)
        assert sum(one.job.user == "cy/x" for one in live.cluster.active.values()) == 3

"""Tokens that hold for a while, or for some things, and the log of who changed what, over HTTP without Ray."""

import asyncio
import csv
import io
import time

import pytest

from kilowait.core.errors import InputError
from kilowait.history.store import Store
from kilowait.history.token_limits import scope_of
from kilowait.history.tokens import Identity, Role, create, identify, revoke
from serve.api.audited import Audited
from tests.support.desk_world import DeskWorld


@pytest.fixture
def world(tmp_path):
    with DeskWorld(tmp_path) as world:
        yield world


def make(world, who="operator", **asked):
    return world.call("POST", "/v1/tokens", who, json={"owner": "eve", "role": "submit", **asked})


def test_a_token_holds_until_it_expires(tmp_path):
    store = Store(f"sqlite:///{tmp_path}/kilowait.db")
    token = create(store, "ada", Role.SUBMIT, 10.0, expires_s=20.0)
    assert identify(store, token, 19.9).owner == "ada"
    assert identify(store, token, 20.0) is None
    for past_s in (10.0, 5.0, float("inf"), float("nan")):
        with pytest.raises(InputError, match="expires"):
            create(store, "ada", Role.SUBMIT, 10.0, expires_s=past_s)
    last = create(store, "root", Role.OPERATE, 10.0).split("_")[1]
    create(store, "root", Role.OPERATE, 10.0, expires_s=1e12)
    with pytest.raises(InputError, match="last operator's"):  # one that expires would leave none
        revoke(store, last, 30.0)
    store.close()


@pytest.mark.parametrize(
    ("path", "scope"),
    [
        ("/v1/jobs", "jobs"), ("/v1/jobs:cancel", "jobs"), ("/v1/jobs/job-1/logs", "jobs"), ("/v1/arrays", "jobs"),
        ("/v1/predict", "predict"), ("/v1/what-if", "predict"), ("/v1/secrets/A", "secrets"), ("/metrics", "service"),
        ("/v1/tokens", "service"), ("/v1/jobsx", "service"), ("/v1//jobs", "service"), ("/jobs", "service"),
    ],
)  # fmt: skip
def test_each_path_is_of_one_scope(path, scope):
    assert scope_of(path) == scope


def test_a_token_for_some_things_is_refused_for_others_and_says_so(world):
    world.tokens["eve"] = make(world, scopes=["secrets", "jobs"], expires_in_s=3600).json()["token"]
    assert world.call("GET", "/v1/secrets", "eve").status_code == 200
    assert world.call("GET", "/v1/jobs", "eve").status_code == 200
    answer = world.call("GET", "/v1/notices", "eve")
    assert (answer.status_code, answer.json()["detail"]) == (403, "the token is for secrets, jobs, this is of notices")
    listed = world.call("GET", "/v1/tokens", "operator").json()["tokens"]
    (one,) = [token for token in listed if token["owner"] == "eve"]
    assert one["scopes"] == ["secrets", "jobs"]
    assert one["expires_s"] == pytest.approx(time.time() + 3600, abs=60)
    for wrong in ({"scopes": ["everything"]}, {"expires_in_s": -1}, {"expires_in_s": 0}):
        assert make(world, **wrong).status_code == 422


def test_what_no_database_or_terminal_takes_is_kept_escaped(world):
    for path in ("/v1/secrets/A%00%1b[2J", "/v1/%00"):  # PostgreSQL would refuse it, with what others did at that time
        assert world.call("DELETE", path).status_code == 404
    entries = world.call("GET", "/v1/audit", "operator").json()["entries"]
    said = [(entry["action"], entry["target"]) for entry in entries]
    assert said[:1] == [("DELETE /v1/secrets/{name}", "A\\x00\\x1b[2J")]
    assert all(text.isprintable() for pair in said for text in pair)


def test_who_changed_what_is_kept_in_order_without_what_was_sent_and_can_be_exported(world):
    made = make(world)
    token_id = made.json()["token"].split("_")[1]
    assert make(world, who="ada").status_code == 403
    world.call("GET", "/v1/tokens", "operator")
    world.call("POST", "/v1/tokens", None, json={})
    world.call("PUT", "/v1/secrets/HF_TOKEN", json={"value": "s3cret"})
    world.call("DELETE", f"/v1/tokens/{token_id}", "operator")
    page = world.call("GET", "/v1/audit", "operator").json()
    said = [(one["owner"], one["action"], one["target"], one["status"]) for one in page["entries"]]
    assert said == [
        ("operator", "POST /v1/tokens", "", 201),
        ("ada", "POST /v1/tokens", "", 403),
        ("ada", "PUT /v1/secrets/{name}", "HF_TOKEN", 422),  # there is no key here
        ("operator", "DELETE /v1/tokens/{token_id}", token_id, 204),
    ]
    assert page["next"] is None
    first = page["entries"][0]
    assert (first["role"], first["token_id"]) == ("operate", world.tokens["operator"].split("_")[1])
    page = world.call("GET", "/v1/audit?limit=1&owner=ada", "operator").json()
    rest = world.call("GET", f"/v1/audit?owner=ada&after={page['next']}", "operator").json()["entries"]
    assert [one["status"] for one in (*page["entries"], *rest)] == [403, 422]
    exported = world.call("GET", "/v1/audit?format=csv", "operator").text
    assert [row["status"] for row in csv.DictReader(io.StringIO(exported))] == ["201", "403", "422", "204"]
    assert "s3cret" not in exported
    assert world.call("GET", "/v1/audit").status_code == 403


@pytest.mark.parametrize("later", [["/v1/jobs"], ["/v1/tokens"] * 3, ["/v1/jobs", "/v1/tokens", "/v1/jobs"]])
def test_what_is_done_while_others_are_written_is_kept_once(later):
    class SlowDesk:
        def __init__(self):
            self.kept, self.begun, self.go_on = [], asyncio.Event(), asyncio.Event()

        async def ask(self, _, rows):
            self.begun.set()
            await self.go_on.wait()
            await asyncio.sleep(0.01)
            self.kept += [row["target"] for row in rows]

    async def application(scope, receive, send):
        scope["state"]["identity"] = Identity(token_id="t", owner="ada", role=Role.SUBMIT)
        await send({"type": "http.response.start", "status": 201})

    async def answered(_):
        return None

    async def call(audited, path, name):
        scope = {"type": "http", "method": "POST", "path": path, "path_params": {"name": name}}
        await audited(scope, None, answered)

    async def kept():
        desk = SlowDesk()
        audited = Audited(application, desk)
        first = asyncio.create_task(call(audited, "/v1/tokens", "first"))
        await desk.begun.wait()
        others = [asyncio.create_task(call(audited, path, f"{n}")) for n, path in enumerate(later)]
        await asyncio.sleep(0.01)
        desk.go_on.set()
        await asyncio.gather(first, *others)
        await asyncio.sleep(0.1)
        return desk.kept

    assert asyncio.run(kept()) == ["first", *map(str, range(len(later)))]

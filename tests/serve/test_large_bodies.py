"""Large requests over the real routes, without Ray: who may send them, what is refused undecoded, and one at a time."""

import asyncio
import json
import time

import pytest

from kilowait.core.submission_limits import MAX_BODY_BYTES, MAX_FIELDS_BYTES
from serve.api import large_bodies as module
from serve.api.large_bodies import LargeBodies, look_over
from serve.wire.problems import Refusal
from tests.support.desk_world import DeskWorld

pytestmark = pytest.mark.ray

SOURCE = "x" * 400_000


@pytest.fixture
def world(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PAUSE_S_PER_MB", 0.0)
    monkeypatch.setattr(module, "REFUSED_PAUSE_S", 0.0)
    with DeskWorld(tmp_path) as world:
        yield world


def post(world, body, who="ada", path="/v1/jobs"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return world.call("POST", path, who, content=data, headers={"content-type": "application/json"})


@pytest.fixture
def decoded(monkeypatch):
    """How many bytes were decoded at once by the JSON decoder that makes objects."""
    sizes, loads = [], json.loads
    monkeypatch.setattr(json, "loads", lambda text, *a, **k: sizes.append(len(text)) or loads(text, *a, **k))
    return sizes


HOSTILE = {
    "environment": {"source": "# 1", "environment": {"A": "x" * 7_900_000}},
    "labels": {"source": "# 1", "labels": [[]] * 1_900_000},
    "gpu_types": {"source": "# 1", "labels": {}, "gpu_types": {str(n): n for n in range(400_000)}},
    "source": {"source": [[]] * 1_900_000},
}


@pytest.mark.parametrize("field", HOSTILE)
def test_what_is_large_and_no_text_is_refused_by_name_and_never_decoded(world, decoded, field):
    data = json.dumps(HOSTILE[field]).encode()
    decoded.clear()
    for path, body in (("/v1/jobs", data), ("/v1/jobs:batch", b'{"jobs": [' + data + b"]}"), ("/v1/what-if", data)):
        answer = world.call("POST", path, content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["field"]) == (422, field), answer.text
        assert f"{MAX_FIELDS_BYTES:,}" in answer.json()["detail"]
    assert max(decoded, default=0) < 10_000


def test_a_large_text_is_passed_on(world):
    answer = post(world, {"source": SOURCE})
    assert answer.json()["detail"].startswith("main.py: line 1 has 400,000 characters")
    answer = post(world, {"source": "x\n" * 150_000, "environment": {"A": "y" * 40_000}})
    assert "40,000 bytes, the limit is 32,768" in answer.json()["detail"]


@pytest.mark.parametrize(
    "body", [b"[" * 1_000_000, b"{" + b" " * 900_000, b'"' + b"x" * 300_000 + b'"', b"\xff" * 300_000]
)
def test_a_large_body_that_is_no_object_is_refused(world, body):
    answer = post(world, body)
    assert (answer.status_code, answer.json()["field"]) == (422, "body")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_large_body_of_nobody_is_refused_unread(world, decoded):
    for who, status in ((None, 401), ("reader", 403)):
        assert post(world, {"source": SOURCE}, who).status_code == status
    assert (
        world.client.post("/v1/jobs", json={"source": SOURCE}, headers={"Authorization": "Bearer no"}).status_code
        == 401
    )

    def endless():
        for _ in range(MAX_BODY_BYTES // 1_000_000 + 2):
            yield b" " * 1_000_000

    answer = world.client.post(
        "/v1/jobs", content=endless(), headers={"Authorization": f"Bearer {world.tokens['ada']}"}
    )
    assert answer.status_code == 413
    assert answer.json()["title"] == "too large"


def test_the_limit_counts_all_jobs_of_a_batch_together():
    job = {"source": "x" * 50_000, "environment": {"A": "y" * 30_000}}
    look_over(json.dumps({"jobs": [job] * 60}).encode())
    with pytest.raises(Refusal, match="environment"):
        look_over(json.dumps({"jobs": [job] * 70}).encode())


def test_large_bodies_of_one_user_come_one_after_the_other_and_keep_no_other_waiting(monkeypatch):
    """The first body never ends: the second of its owner is not taken in, that of another is."""
    monkeypatch.setattr(module, "PAUSE_S_PER_MB", 0.0)
    passed = []

    async def identified(request, authorization):
        return type("Who", (), {"owner": authorization})

    async def app(scope, receive, send):
        passed.append((scope["name"], len((await receive())["body"])))

    monkeypatch.setattr(module, "identified", identified)

    async def run():
        middleware, never = LargeBodies(app), asyncio.Event()

        def request(name, owner, *, ends):
            body = json.dumps({"source": SOURCE}).encode()
            headers = [(b"content-length", str(len(body)).encode()), (b"authorization", owner)]

            async def receive():
                if not ends:
                    await never.wait()
                return {"type": "http.request", "body": body, "more_body": False}

            scope = {"type": "http", "name": name, "headers": headers, "method": "POST", "path": "/"}
            return asyncio.create_task(middleware(scope, receive, None))

        slow, second, other = (
            request("slow", b"eve", ends=False),
            request("second", b"eve", ends=True),
            request("other", b"bob", ends=True),
        )
        await other
        assert [name for name, _ in passed] == ["other"]
        never.set()
        await asyncio.gather(slow, second)
        assert [name for name, _ in passed] == ["other", "slow", "second"]

    asyncio.run(run())


@pytest.mark.parametrize("body", [{"source": SOURCE}, {"source": "x", "environment": {"A": "x" * 3_000_000}}])
def test_who_has_a_large_body_refused_waits_before_the_next_and_nobody_else_does(world, monkeypatch, body):
    monkeypatch.setattr(module, "REFUSED_PAUSE_S", 1.0)
    seconds = {}
    for who in ("ada", "operator", "ada"):
        began_s = time.monotonic()
        assert post(world, body, who).status_code == 422
        seconds[who] = time.monotonic() - began_s
    assert seconds["ada"] > 0.5  # the second one; the operator's comes between
    assert post(world, {"source": "   "}).status_code == 422  # a small one has no turn

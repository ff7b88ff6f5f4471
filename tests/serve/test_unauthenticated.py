"""Who is no operator is told whether the service is well, and nothing of where it keeps what."""

import pytest

from kilowait.core.errors import StoreError
from kilowait.history.store import Store
from tests.support.desk_world import DeskWorld, Remote


@pytest.fixture
def world(tmp_path):
    with DeskWorld(tmp_path) as world:
        yield world


def trouble(world):
    return f"{world.url}: not written: disk full; nothing of it is kept; make space on its disk and try again"


def test_health_says_that_there_is_a_problem_and_not_where_the_history_is(world):
    assert world.call("GET", "/v1/health", None).json()["status"] == "ok"
    world.status["problem"] = trouble(world)
    answer = world.call("GET", "/v1/health", None)
    assert (answer.status_code, answer.json()["status"]) == (503, "degraded")
    assert "kilowait cluster" in answer.json()["scheduler"]
    assert "sqlite" not in answer.text
    assert "kilowait.db" not in answer.text


@pytest.mark.parametrize("who", ["reader", "ada"])
@pytest.mark.parametrize("path", ["/v1/cluster", "/v1/overview"])
def test_users_learn_that_there_is_a_problem_and_operators_which(world, path, who):
    def told(who):
        answer = world.call("GET", path, who).json()
        return answer.get("cluster", answer)["problem"]

    assert told(who) is None
    world.status["problem"] = trouble(world)
    assert "operator" in told(who)
    assert "kilowait.db" not in world.call("GET", path, who).text
    assert told("operator") == trouble(world)


def test_a_history_that_cannot_be_read_is_told_without_its_place(world, monkeypatch):
    def broken(*_):
        raise StoreError(trouble(world))

    monkeypatch.setattr(Store, "rows", broken)
    answer = world.call("GET", "/v1/jobs")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "2")
    assert answer.json()["title"] == "history unavailable"
    assert "sqlite" not in answer.text
    assert "kilowait.db" not in answer.text
    assert "log" in answer.json()["remedy"]


def test_a_scheduler_that_cannot_open_it_does_not_say_where_it_is(world):
    world.scheduler.status = Remote(StoreError(trouble(world)))
    for path in ("/v1/health", "/v1/jobs"):
        answer = world.call("GET", path, "ada" if path == "/v1/jobs" else None)
        assert answer.status_code == 503
        assert "kilowait.db" not in answer.text

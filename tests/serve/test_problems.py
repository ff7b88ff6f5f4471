"""A refusal says once what is wrong, names no job that is not there, and is declared as what it is."""

import pytest

from kilowait.core.errors import InputError, JobRefused
from kilowait.core.jobs import Job
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from serve.wire.problems import problem, refused
from tests.support.desk_world import DeskWorld
from tests.support.live_world import request


@pytest.fixture
def live(tmp_path):
    live = Controller(Store(f"sqlite:///{tmp_path}/kilowait.db"), simple(), order=("A",))
    live.node_joined("n", "A", 1, 0.0)
    yield live
    live.store.close()


def test_a_job_that_is_refused_has_no_name_that_the_next_one_gets(live):
    with pytest.raises(JobRefused, match=r"^the job can never run here: A: needs 2 GPUs, the cluster has 1$") as caught:
        live.submit(request(gpus=2), 1.0)
    told = problem(refused(caught.value))
    job_id = live.submit(request(), 2.0)
    assert job_id not in told.detail + told.remedy
    assert (told.status, told.field) == (422, "gpus")


def test_a_job_without_a_name_is_not_named():
    with pytest.raises(InputError, match=r"^the job: gpu_milli"):
        Job(job_id="", submit_s=0.0, gpus=2, gpu_milli=500)


@pytest.mark.parametrize(
    ("text", "detail", "remedy"),
    [
        ("owner: must be printable", "owner: must be printable", "correct owner"),
        ("role 'x' is unknown; known: read, submit", "role 'x' is unknown", "known: read, submit"),
        ("key 'a': used for job b; take another", "key 'a': used for job b", "take another"),
        ("a; b; c", "a; b", "c"),
    ],
)
def test_what_is_wrong_and_what_to_do_are_said_once_each(text, detail, remedy):
    told = problem(refused(InputError(text)))
    assert (told.detail, told.remedy) == (detail, remedy)


def test_a_path_that_is_not_there_is_named_once(tmp_path):
    with DeskWorld(tmp_path) as world:
        told = world.call("GET", "/v1/nothing").json()
        assert (told["title"], told["detail"]) == ("not found", "GET /v1/nothing: there is nothing")
        told = world.call("DELETE", "/v1/jobs").json()
        assert (told["title"], told["detail"]) == ("method not allowed", "DELETE /v1/jobs: not with this method")


def test_a_token_that_is_not_there_is_not_found(tmp_path):
    with DeskWorld(tmp_path) as world:
        answer = world.call("DELETE", "/v1/tokens/nobody", "operator")
        assert (answer.status_code, answer.json()["field"]) == (404, "token_id")
        assert "kilowait token list" in answer.json()["remedy"]


@pytest.mark.parametrize(
    ("path", "methods"), [("/v1/jobs", "GET, POST"), ("/v1/jobs/x/why", "GET"), ("/v1/tokens/x", "DELETE")]
)
def test_what_is_not_done_with_a_path_is_answered_with_what_is(tmp_path, path, methods):
    with DeskWorld(tmp_path) as world:
        answer = world.call("PATCH", path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, methods)


def test_every_operation_declares_its_problems_as_they_are_sent(tmp_path):
    with DeskWorld(tmp_path) as world:
        described = world.call("GET", "/v1/openapi.json", None).json()
        sent = world.call("GET", "/v1/cluster", None).headers["content-type"]
    operations = [operation for methods in described["paths"].values() for operation in methods.values()]
    assert len(operations) > 15
    for operation in operations:
        kinds = operation["responses"]["default"]["content"]
        assert kinds[sent]["schema"] == {"$ref": "#/components/schemas/ProblemDetails"}
        assert next(iter(kinds)) == sent

"""Several jobs in one request and one command: each is accepted or refused by itself, and one key makes them once."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout

import pytest

from kilowait.cli.main import main
from kilowait.client import client
from tests.support.service_world import ServiceWorld

QUICK = "print('quick')\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = ServiceWorld(tmp_path_factory.mktemp("batch"), {"A100": 1}, policy="simple", dry_run_budget_s=0)
    yield world
    world.close()


def batch(world, jobs, key=None):
    headers = {"Idempotency-Key": key} if key else {}
    return world.call("POST", "/v1/jobs:batch", json={"jobs": jobs}, headers=headers)


def count(world):
    return len(world.get("/v1/jobs?limit=1000")["jobs"])


def test_each_job_of_a_batch_is_accepted_or_refused_by_itself_in_order(world):
    before = count(world)
    jobs = [{"source": QUICK}, {"source": QUICK, "gpus": 5}, {"source": "print('two')\n"}, {"source": "\0"}]
    answers = batch(world, jobs).json()["jobs"]
    assert [answer["accepted"] is not None for answer in answers] == [True, False, True, False]
    assert answers[1]["refused"]["status"] == 422
    assert "can never run here" in answers[1]["refused"]["detail"]
    assert answers[3]["refused"]["field"] == "source"
    assert count(world) == before + 2
    for answer in answers[0], answers[2]:
        assert world.over(answer["accepted"]["job_id"])["state"] == "finished"


def test_the_same_key_makes_the_same_jobs(world):
    jobs = [{"source": QUICK}] * 3
    first, again = (batch(world, jobs, "sweep-7").json()["jobs"] for _ in range(2))
    assert [one["accepted"]["job_id"] for one in first] == [one["accepted"]["job_id"] for one in again]
    assert len({one["accepted"]["job_id"] for one in first}) == 3
    other = batch(world, [{"source": "print('other')\n"}, *jobs[1:]], "sweep-7").json()["jobs"]
    assert other[0]["refused"]["status"] == 409
    assert other[1]["accepted"]["job_id"] == first[1]["accepted"]["job_id"]


def test_a_mistake_in_one_job_is_named_and_nothing_is_kept(world):
    before = count(world)
    answer = batch(world, [{"source": QUICK}, {"source": QUICK, "gpu": 1}])
    assert (answer.status_code, answer.json()["field"]) == (422, "jobs.1.gpu")
    assert batch(world, []).status_code == 422
    assert batch(world, [{"source": QUICK}] * 201).status_code == 422
    assert count(world) == before


def test_several_programs_in_one_command(world, monkeypatch, tmp_path):
    monkeypatch.setattr(client, "TOGETHER", 2)  # three programs are two requests
    paths = [tmp_path / name for name in ("a.py", "b.py", "c.py")]
    for number, path in enumerate(paths):
        path.write_text(f"import sys\nprint({number}, *sys.argv[1:])\n")

    def submit(*words):
        out, errors = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(errors):
            code = main(["submit", *map(str, paths), "--url", world.address, "--token", world.tokens["ada"], *words])
        assert errors.getvalue() == ""
        return code, out.getvalue()

    code, out = submit("--key", "cli", "--json", "--", "--seed", "3")
    answers = json.loads(out)
    assert code == 0
    for number, (path, answer) in enumerate(zip(paths, answers, strict=True)):
        job_id = answer["accepted"]["job_id"]
        assert answer["program"] == str(path)
        world.over(job_id)
        assert world.get(f"/v1/jobs/{job_id}/logs")["text"] == f"{number} --seed 3\n"
    code, lines = submit("--key", "cli", "--", "--seed", "3")
    assert (code, [line.split()[0] for line in lines.splitlines()]) == (0, [a["accepted"]["job_id"] for a in answers])
    code, lines = submit("--gpus", "64")
    assert code == 2
    assert len(lines.splitlines()) == 3
    assert all("refused: " in line and "can never run here" in line for line in lines.splitlines())

"""Several jobs in one request and one command: each is accepted or refused by itself, and one key makes them once."""

import io
import json
import time
from contextlib import redirect_stderr, redirect_stdout

import pytest

from kilowait.cli.main import main
from kilowait.client import client
from tests.support.hook_receiver import HookReceiver

QUICK = "print('quick')\n"
ENDLESS = "import os, time\nos.environ['KILOWAIT_JOB_ID']\ntime.sleep(600)\n"
"""Runs until it is cancelled; its dry run, which is no job, fails at once."""


@pytest.fixture(scope="module")
def world(common_world):
    return common_world


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


def command_of(world, noun, verb, *words):
    """As `command`, of one that has an object of its own."""
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        code = main([noun, verb, *words, "--url", world.address, "--token", world.tokens["ada"]])
    return code, out.getvalue(), errors.getvalue()


def command(world, *words, who="ada"):
    """(exit code, what is written, what is said beside it)."""
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        code = main([words[0], "--url", world.address, "--token", world.tokens[who], *words[1:]])
    return code, out.getvalue(), errors.getvalue()


def test_a_sweep_is_one_array_with_a_task_a_row_and_one_line_in_lists(world, tmp_path):
    program, table = tmp_path / "train.py", tmp_path / "params.csv"
    program.write_text("import os, sys\nprint(*sys.argv[1:], os.environ['KILOWAIT_TASK'])\nsys.exit('7' in sys.argv)\n")
    table.write_text("lr,batch-size\n0.1,16\n0.2,32\n7,64\n")
    words = ("submit", str(program), "--sweep", str(table), "--at-once", "1", "--key", "s1", "--name", "lrs")
    code, out, errors = command(world, *words, "--json", "--", "--lr", "{lr}", "{other}")
    assert (code, errors) == (0, "")
    array = json.loads(out)
    assert command(world, *words, "--", "--lr", "{lr}", "{other}")[1].startswith(
        f"{array['array_id']}  accepted: 3 tasks"
    )
    code, _, errors = command(world, *words, "--", "--lr", "0")
    assert (code, f"used for array {array['array_id']}" in errors) == (2, True)
    name = array["array_id"]
    code, _, said = command(world, "wait", name)
    assert (code, said) == (1, f"{name} (lrs)  2 finished, 1 failed\n")
    assert command(world, "logs", f"{name}:1")[1] == "--lr 0.2 {other} --batch-size 32 1\n"
    assert command(world, "wait", f"{name}:0")[0] == 0
    lines = [line for line in command(world, "ps", "--name", "lrs")[1].splitlines() if "lrs" in line]
    assert len(lines) == 1
    assert f"{name}  2 finished, 1 failed" in lines[0]
    assert "1 failed" in command(world, "ps", "--state", "failed")[1]
    assert "finished" not in command(world, "ps", "--state", "failed", "--name", "lrs")[1]
    assert "tasks 0-2, at most 1 at once" in command(world, "show", name)[1]
    job = world.get(f"/v1/jobs?array={name}&tasks=2")["jobs"][0]
    assert (job["array"], job["task"], job["arguments"]) == (name, 2, ["--lr", "7", "{other}", "--batch-size", "64"])
    assert len(json.loads(command(world, "ps", "--array", name, "--json")[1])) == 3
    assert name not in command(world, "ps", who="bob")[1]
    assert world.call("GET", f"/v1/arrays/{name}", "bob").status_code == 404
    assert world.get(f"/v1/jobs?array={name}", "bob")["jobs"] == []


def test_tasks_of_an_array_are_cancelled_by_number_and_then_all_of_it(world):
    body = {"source": ENDLESS, "tasks": "0-299%1"}
    array = world.call("POST", "/v1/arrays", json=body).json()
    name = array["array_id"]
    assert world.get("/v1/cluster")["waiting"] >= 299
    why = world.get(f"/v1/jobs/{array['job_ids'][7]}/why")["summary"]
    assert why == f"it is not its turn: of {name} at most 1 tasks run at once, and others come first"
    _, out, _ = command(world, "cancel", f"{name}:3,290-299", "--json")
    assert json.loads(out)["cancelled"] == [array["job_ids"][n] for n in (3, *range(290, 300))]
    assert world.call("POST", "/v1/jobs:cancel", "bob", json={"array": name}).json() == {
        "cancelled": [],
        "ending": [],
        "refused": {},
    }
    began_s = time.monotonic()
    answer = world.call("POST", "/v1/jobs:cancel", json={"array": name}).json()
    assert time.monotonic() - began_s < 15  # a request a job took a third of a second each
    assert len(answer["cancelled"]) + len(answer["ending"]) == 289
    world.until(lambda: set(world.get(f"/v1/arrays/{name}")["states"]) == {"cancelled"})


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"tasks": "5-1"},
        {"tasks": "0-1000"},
        {"tasks": "0-2", "rows": [{"lr": "1"}]},
        {"rows": [{"lr": "1"}, {"seed": "1"}]},
        {"rows": [{"task": "1"}]},
        {"tasks": "0-2%1", "at_once": 2},
    ],
    ids=str,
)
def test_an_array_with_a_mistake_is_refused_by_name_and_nothing_is_kept(world, wrong):
    before = count(world)
    answer = world.call("POST", "/v1/arrays", json={"source": QUICK, **wrong})
    assert (answer.status_code, bool(answer.json()["remedy"])) == (422, True)
    assert count(world) == before


def test_a_secret_is_given_to_ones_own_jobs_by_name_and_stands_nowhere_else(world, monkeypatch, tmp_path):
    value, env = "s3cret-\u00fc-value", "an environment value"
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{value}\n"))
    assert command_of(world, "secret", "set", "MY_TOKEN") == (0, "MY_TOKEN is kept\n", "")
    assert "MY_TOKEN" in command_of(world, "secret", "list")[1]
    program = tmp_path / "train.py"
    program.write_text(
        "import os, sys\nprint(os.environ['MY_TOKEN'], len(os.environ['MY_TOKEN']), len(os.environ['PLAIN']))\n"
        "sys.exit(os.environ['MY_TOKEN'])\n"
    )
    words = ("submit", str(program), "--secret", "MY_TOKEN", "--env", f"PLAIN={env}", "--key", "secret-1", "--json")
    code, out, errors = command(world, *words)
    assert (code, errors) == (0, "")
    job_id = json.loads(out)["job_id"]
    assert json.loads(command(world, *words)[1])["job_id"] == job_id  # by the key, though encrypted anew
    assert command(world, *words[:4], "--env", "PLAIN=other", "--key", "secret-1")[0] == 2
    job = world.over(job_id)
    assert (job["secrets"], job["reason"]) == (["MY_TOKEN"], "exit code 1: ***")
    assert world.get(f"/v1/jobs/{job_id}/logs")["text"] == f"*** {len(value)} {len(env)}\n***\n"
    body = {"source": QUICK, "secrets": ["MY_TOKEN"]}
    refused = world.call("POST", "/v1/jobs", "bob", json=body)
    assert (refused.status_code, "none of yours" in refused.json()["detail"]) == (422, True)
    assert world.get("/v1/secrets", "bob") == {"secrets": []}
    assert world.get("/v1/secrets", "operator") == {"secrets": []}
    (listed,) = world.get("/v1/secrets")["secrets"]
    assert set(listed) == {"name", "set_s"}
    database = b"".join(path.read_bytes() for path in world.shared.parent.glob("kilowait.db*"))
    for text in (value, env):
        assert text.encode() not in database
        assert json.dumps(text)[1:-1].encode() not in database
    array = world.call(
        "POST",
        "/v1/arrays",
        json={**body, "tasks": "0-1", "source": "import os\nprint(os.environ['MY_TOKEN'][:3] + '!')\n"},
    ).json()
    assert {world.over(one)["state"] for one in array["job_ids"]} == {"finished"}
    assert world.get(f"/v1/jobs/{array['job_ids'][1]}/logs")["text"] == "s3c!\n"
    waits = [world.submit(ENDLESS) for _ in range(2)]  # one of them a GPU of each type
    behind = world.submit(QUICK, secrets=["MY_TOKEN"])
    assert world.call("DELETE", "/v1/secrets/MY_TOKEN", "bob").status_code == 404
    assert world.call("DELETE", "/v1/secrets/MY_TOKEN").status_code == 204
    world.call("POST", "/v1/jobs:cancel", json={"job_ids": waits})
    assert "its secret MY_TOKEN is not there any more" in world.over(behind)["reason"]


def test_a_webhook_hears_of_a_job_that_is_over(world):
    with HookReceiver() as receiver:
        asked = {"kind": "webhook", "target": receiver.url, "events": ["end"], "name": "told"}
        notice_id = world.call("POST", "/v1/notices", json=asked).json()["notice_id"]
        job_id = world.submit(QUICK, name="told")
        world.until(lambda: receiver.got)
        body = json.loads(receiver.got[0][2])
        assert (body["event"], body["job_id"], body["state"]) == ("end", job_id, "finished")
        _, out, _ = command_of(world, "notify", "list")
        assert notice_id in out
        assert "http://127.0.0.1/..." in out
        assert command_of(world, "notify", "remove", notice_id)[0] == 0
        receiver.shutdown()


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PUT", "/v1/secrets/A", {"value": ["s3cret-text"]}),
        ("PUT", "/v1/secrets/A", {"value": "s3cret-text" * 10_000}),
        ("PUT", "/v1/secrets/A", {"value": "s3cret-text\0"}),
        ("PUT", "/v1/secrets/not%20one", {"value": "s3cret-text"}),
        ("PUT", "/v1/secrets/A", "s3cret-text"),
        ("PUT", "/v1/secrets/A", ["s3cret-text"]),
        ("PUT", "/v1/secrets/A", {"value": "x", "value2": "s3cret-text"}),
        ("POST", "/v1/jobs", {"source": QUICK, "environment": {"A": ["s3cret-text"]}}),
        ("POST", "/v1/jobs", {"source": QUICK, "environment": "s3cret-text"}),
        ("POST", "/v1/jobs", {"source": QUICK, "environment": {"A": "s3cret-text" * 10_000}}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_refusal_does_not_tell_a_secret_back(world, method, path, body):
    answer = world.call(method, path, json=body)
    assert (answer.status_code, "s3cret" in answer.text) == (422, False)

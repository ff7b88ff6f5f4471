"""What one user sends cannot keep others out: real HTTP, a real predictor, and nothing asserted about seconds."""

from concurrent.futures import ThreadPoolExecutor

import pytest

LINE = "x = x + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + x\n"
MANY = LINE * 100
LONG = "x = 1\n" + LINE * 500
"""23 KB: long for the language model, were it to read it to its end."""

SLEEPS = "import os, time\nos.environ['KILOWAIT_JOB_ID']\ntime.sleep(3600)\n"
"""Runs until it is cancelled; its dry run, which is no job, fails at once."""

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # a socket that Ray's test cluster leaves


@pytest.fixture(scope="module")
def world(common_world):
    """Each of its GPUs has a job, so that no other begins; at the end all jobs are cancelled."""
    world = common_world
    made = world.call("POST", "/v1/tokens", "operator", json={"owner": "eve", "role": "submit"})
    world.tokens["eve"] = made.json()["token"]
    cancel(world, "running", "waiting")  # of the modules before
    sleeping = [world.submit(SLEEPS + f"# {n}\n") for n in range(2)]
    world.until(lambda: all(world.get(f"/v1/jobs/{one}")["state"] == "running" for one in sleeping))
    yield world
    cancel(world, "waiting", "running")
    for one in sleeping:
        world.over(one)
    last = {"source": "print('the last of eve')\n"}  # what she asked before is answered before
    world.until(lambda: world.call("POST", "/v1/predict", "eve", json=last).json().get("cached"))


def cancel(world, *states):
    """Cancel every job of anybody in these states."""
    for state in states:
        for job in world.get(f"/v1/jobs?state={state}&limit=500", "operator")["jobs"]:
            world.call("POST", f"/v1/jobs/{job['job_id']}/cancel", "operator")


def new(world):
    """How many sources were asked for that nobody had asked for before."""
    lines = world.call("GET", "/metrics", "operator").text.splitlines()
    name = 'kilowait_predictions_total{result="computed"} '
    return next(float(line.removeprefix(name)) for line in lines if line.startswith(name))


def submit(world, source, who):
    return world.call("POST", "/v1/jobs", who, json={"source": source})


def test_a_long_source_is_overtaken_by_those_of_others(world):
    with ThreadPoolExecutor(6) as pool:
        slow = [pool.submit(submit, world, f"# {n}\n{LONG}", "eve") for n in range(6)]
        world.until(lambda: new(world) >= 3)
        for number in range(3):
            answer = submit(world, f"import torch\nprint({number})\n", "bob")
            assert answer.status_code == 201, answer.text
            guess = answer.json()["by_type"]["A100"]["features"] == "unread+standin"
            assert guess == any("did not read the program in time" in text for text in answer.json()["warnings"])
        assert not all(one.done() for one in slow)
        assert [one.result().status_code for one in slow] == [201] * 6


def test_ninety_new_sources_of_one_user_are_overtaken_by_one_of_another(world):
    with ThreadPoolExecutor(90) as pool:
        many = [pool.submit(submit, world, f"import torch\nprint({n}, 'many')\n{LINE * 8}", "eve") for n in range(90)]
        world.until(lambda: any(one.done() for one in many), every_s=0.01)  # more than one user may have waiting
        answer = submit(world, "import torch\nprint('one')\n", "bob")
        assert answer.status_code == 201, answer.text
        assert not all(one.done() for one in many)
        statuses = [one.result().status_code for one in many]
    assert set(statuses) <= {201, 503}
    assert 201 in statuses


def test_a_job_that_was_accepted_with_a_guess_is_predicted_later(world):
    """It waits behind the jobs that have the GPUs, and meets a long source of another user at the predictor."""
    cancel(world, "waiting")  # of the tests before
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(submit, world, f"# later\n{LONG}", "eve")
        before = new(world)
        world.until(lambda: new(world) > before or slow.done())
        answers = [submit(world, f"import torch\nprint({n}, 'later')\n{MANY}", "bob").json() for n in range(2)]
        guessed = [a["job_id"] for a in answers if a["by_type"]["A100"]["features"] == "unread+standin"]
        slow.result()
    for job_id in guessed:
        world.until(
            lambda job_id=job_id: (
                world.get(f"/v1/jobs/{job_id}", "bob")["by_type"]["A100"]["features"] != "unread+standin"
            )
        )
        view = world.get(f"/v1/jobs/{job_id}", "bob")
        assert view["state"] == "waiting"
        assert view["prediction"].startswith("a guess until ")
        assert world.get(f"/v1/jobs/{job_id}/why", "bob")["prediction"] == view["prediction"]
    assert guessed  # or this test shows nothing

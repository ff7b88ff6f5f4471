"""The whole loop on a real Ray cluster of pretended GPUs: jobs finish, a refit is promoted, predictions follow."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from kilowait.cli.main import main
from kilowait.history import models
from kilowait.history.store import Store
from tests.support.service_world import ServiceWorld

EVERY = 20
"""Jobs from one refit to the next."""
SOURCE = "import sys\nprint({})\n"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    options = {"policy": "value", "policy_options": {"kappa": 1e-5}, "refit_every": EVERY, "learn_pretended": True}
    options |= {"dry_run_budget_s": 0.0}
    world = ServiceWorld(tmp_path_factory.mktemp("learning"), {"A100": 4}, **options)
    yield world
    world.close()


@pytest.fixture
def run(world, monkeypatch, capsys):
    """The command as a person would type it: (exit code, output, complaints)."""

    def typed(*words, who="operator"):
        monkeypatch.setenv("KILOWAIT_URL", world.address)
        monkeypatch.setenv("KILOWAIT_TOKEN", world.tokens[who])
        code = main(words)
        return code, *capsys.readouterr()

    return typed


def predicted(world, number):
    """What the service expects of a program that nobody ran before."""
    answer = world.call("POST", "/v1/predict", json={"source": SOURCE.format(number)})
    assert answer.status_code == 200, answer.text
    return answer.json()["by_type"]


def test_finished_jobs_change_predictions_and_a_rollback_changes_them_back(world, run):
    before = predicted(world, 10_000)
    assert run("model", "list")[1].startswith("no models yet")
    refused = world.call("POST", "/v1/models/rollback", "operator", json={"reason": "try"})
    assert (refused.status_code, refused.json()["detail"]) == (409, "no model is in force")
    with ThreadPoolExecutor(4) as pool:
        job_ids = list(pool.map(lambda n: world.submit(SOURCE.format(n)), range(EVERY)))
    jobs = [world.over(job_id) for job_id in job_ids]
    assert {job["state"] for job in jobs} == {"finished"}
    (option,) = world.get(f"/v1/jobs/{job_ids[0]}/why")["types"]
    assert option["rating"] == pytest.approx(1 / option["runtime_s"] - 1e-5 * option["energy_kwh"])  # as value has it
    had = sorted(job["attempts"][0]["runtime_s"]["value"] for job in jobs)[EVERY // 2]

    world.until(lambda: world.get("/v1/models")["current"])
    listed = world.get("/v1/models")
    (model,) = listed["models"]
    assert (model["state"], model["applied"], model["pretended"], model["jobs"]) == ("current", True, True, EVERY)
    assert [(change["action"], change["who"]) for change in listed["changes"]] == [("promote", "service")]
    after = predicted(world, 10_000)
    assert after["cpu-1"] == before["cpu-1"]  # nothing was learnt of it, and it is no pretended type
    near, far = (max(seen["A100"]["runtime_s"] / had, had / seen["A100"]["runtime_s"]) for seen in (after, before))
    assert near < far
    assert after["A100"]["features"] == before["A100"]["features"] + "+correction"
    assert after["A100"]["runtime_low_s"] <= after["A100"]["runtime_s"] <= after["A100"]["runtime_high_s"]
    job = world.get(f"/v1/jobs/{world.submit(SOURCE.format(20_000))}")
    assert job["probe_version"].endswith(model["version"])
    metrics = world.call("GET", "/metrics", "reader").text
    assert 'kilowait_refits_total{outcome="promoted"} 1.0' in metrics
    assert f'correction="{model["version"]}"' in metrics

    code, out, _ = run("model", "show", model["version"])
    assert (code, "newest jobs of new sources" in out, "better than base" in out) == (0, True, True)
    code, _, complaint = run("model", "rollback", "--reason", "try", who="ada")
    assert (code, "needs operate" in complaint) == (2, True)
    assert run("model", "rollback", "--reason", "a try")[1] == f"rolled back {model['version']}: a try\n"
    assert predicted(world, 10_000) == before
    assert run("model", "promote", "ghost", "--reason", "x")[0] == 2
    code, out, _ = run("model", "promote", model["version"], "--reason", "it was well", "--json")
    assert (code, json.loads(out)["action"]) == (0, "promote")
    assert predicted(world, 10_000) == after
    assert "it was well" in run("model", "list")[1]


def test_a_switch_drops_no_request(world):
    """While what is in force is changed behind the service's back, every prediction is one of the two."""
    version = world.get("/v1/models")["current"]
    assert version is not None
    seen = {predicted(world, 1)["A100"]["runtime_s"]}
    store = Store(world.url)
    try:
        with ThreadPoolExecutor(4) as pool:
            asked = [pool.submit(predicted, world, 1) for _ in range(40)]
            asked[0].result()
            models.rollback(store, who="another replica", reason="try", now_s=1.0)
            world.until(lambda: world.get("/v1/models")["models"][0]["applied"] is False)
            asked += [pool.submit(predicted, world, 1) for _ in range(40)]
            found = {one.result()["A100"]["runtime_s"] for one in asked}
        assert len(found) == 2
        assert seen < found
    finally:
        store.close()

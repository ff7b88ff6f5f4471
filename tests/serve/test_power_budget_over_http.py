"""A power budget set over HTTP: jobs get limits, wait for watts and say so, and lose their limits with it."""

import pytest

WAITS = "import os, time\nwhile not os.path.exists({!r}):\n    time.sleep(0.1)\n"
AT_REST_W = 60 + 25  # an A100 and an A6000, as their types say


@pytest.fixture
def world(common_world):
    yield common_world
    common_world.call("DELETE", "/v1/power-budget", "operator")


def budget(world, *steps, who="operator"):
    asked = [{"at": at, "watts": watts} for at, watts in steps]
    return world.call("PUT", "/v1/power-budget", who, json={"steps": asked})


def shown(world):
    return world.get("/v1/cluster")["power_budget"]


def test_jobs_are_limited_wait_for_watts_say_so_and_are_let_go(world):
    done = str(world.shared / "power-is-back")
    assert budget(world, ("00:00", 300.0), who="ada").status_code == 403
    answer = budget(world, ("00:00", AT_REST_W + 30.0))
    assert answer.status_code == 202, answer.text
    assert answer.json()["power_budget"]["at_rest_w"] == AT_REST_W
    kept = world.submit(WAITS.format(done))
    why = world.get(f"/v1/jobs/{kept}/why")
    assert why["summary"].startswith("the power budget of 115 W is too low for it: it needs at least ")
    assert budget(world, ("00:00", AT_REST_W + 400.0), ("00:01", AT_REST_W + 400.0)).status_code == 202
    world.until(lambda: (world.get(f"/v1/jobs/{kept}")["progress"] or {}).get("power_limit_w"))
    assert AT_REST_W < shown(world)["promised_w"] <= shown(world)["watts"] == AT_REST_W + 400
    assert world.call("DELETE", "/v1/power-budget", "operator").status_code == 202
    world.until(lambda: world.get(f"/v1/jobs/{kept}")["progress"]["power_limit_w"] is None)
    assert shown(world)["watts"] is None
    (world.shared / "power-is-back").touch()
    assert world.over(kept)["state"] == "finished"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([("00:00", 50.0)], "50 W is below the 85 W that the boards here draw at rest"),
        ([("25:00", 5000.0)], "steps.0.at"),
        ([("08:00", 5000.0), ("08:00", 6000.0)], "each time once"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(world, steps, said):
    answer = budget(world, *steps)
    assert answer.status_code == 422
    assert said in answer.text

"""What the page draws and lists: boards over time, power over the day, who has what; who sees whose, and bounds."""

import threading
import time
import xml.etree.ElementTree as ElementTree
from contextlib import contextmanager
from unittest.mock import Mock

import pytest
import uvicorn
from selenium.webdriver.common.keys import Keys

from kilowait.cluster.advance import replay
from kilowait.cluster.events import GpusJoined, JobPlaced, JobSubmitted, SignalReported
from kilowait.core.jobs import Job, Measurement, Provenance
from kilowait.core.over_time.signals import Signal
from kilowait.core.submission import Ending
from kilowait.live.controller import Controller
from kilowait.policies.patient import patient
from kilowait.simulate.against_simple import Against
from kilowait.simulate.outlook import Expected
from serve.api.routes import build
from serve.desk.drawing import live_timeline
from serve.desk.drawing.coming_day import coming_day
from serve.desk.drawing.power_day import power_day
from serve.desk.today import Day, factor_view
from serve.scheduler.ray_nodes import SeenNode
from serve.scheduler.settings import SchedulerSettings
from tests.support.browser import browser
from tests.support.desk_world import DeskWorld
from tests.support.live_world import request, seen

OPTIONS = {"wait_s_per_kwh": 50.0, "congestion": 0.0}
NAME = "kilowait/name"


@pytest.fixture
def world(tmp_path):
    """A and B, a board each. Of ada `done` ran on A from 900 to 800 s ago and `runs` there since 60 s ago, for 1,000 s,
    after it had waited for 40 s beside the free A; bob's `held` waits for A behind it, though B is free: 40 kWh more
    are worth 2,000 s."""
    with DeskWorld(tmp_path) as world:
        world.status["settings"] = SchedulerSettings(url=world.url, policy="patient", policy_options=OPTIONS)
        controller = Controller(world.store, patient(**OPTIONS), order=("A", "B"))
        world.now_s = now_s = time.time()
        for gpu_type in ("A", "B"):
            controller.node_joined(f"node-{gpu_type}", gpu_type, 1, now_s - 1000, None)
            seen_node = SeenNode(
                node=f"node-{gpu_type}", address="::1", gpu_type=gpu_type, gpus=1, taken=0.0, draining=False
            )
            world.status["nodes"].append(seen_node)
        both = seen(A=(1000, 1), B=(1000, 41))
        controller.submit(request(predictions=both, labels={NAME: "done"}, allowed=frozenset("A")), now_s - 900)
        (attempt,) = controller.decide(now_s - 900)
        measured = Measurement(
            job_id=attempt.job_id, attempt=1, gpu_type="A", runtime_s=100.0, energy_j=7.2e6,
            runtime_provenance=Provenance.MEASURED, energy_provenance=Provenance.ESTIMATED,
        )  # fmt: skip
        ending = Ending(exit_code=0, measurement=measured)
        controller.attempt_finished(attempt.job_id, 1, attempt.token, ending, now_s - 800)
        controller.submit(request(predictions=both, labels={NAME: "runs"}, allowed=frozenset("A")), now_s - 100)
        controller.decide(now_s - 60)
        controller.submit(request(predictions=both, labels={NAME: "held"}, user="bob"), now_s - 50)
        assert controller.decide(now_s - 50) == []
        yield world


def bars(answer):
    return {bar["kind"]: bar for bar in answer["bars"]}


def test_past_present_and_plan_are_on_their_boards_with_how_each_was_had(world):
    answer = world.call("GET", "/v1/timeline?width_px=600", "operator").json()
    assert [(row["gpu_type"], row["name"], row["board"]) for row in answer["rows"]] == [
        ("A", "::1 node-A", 0), ("B", "::1 node-B", 0)
    ]  # fmt: skip
    by_kind, now_s = bars(answer), world.now_s
    assert {kind: (bar["name"], bar["owner"], bar["rows"]) for kind, bar in by_kind.items()} == {
        "finished": ("done", "ada", [0]),
        "running": ("runs", "ada", [0]),
        "planned": ("held", "bob", [0]),
    }
    ended = by_kind["finished"]
    assert (ended["start_s"], ended["end_s"], ended["provenance"]) == (now_s - 900, now_s - 800, "measured")
    assert ended["energy_kwh"] == {"value": 2.0, "provenance": "estimated"}
    assert by_kind["running"]["end_s"] == pytest.approx(now_s + 940)
    assert by_kind["planned"]["start_s"] == pytest.approx(now_s + 940)
    assert by_kind["planned"]["provenance"] == "modelled"
    assert "it is held for A, expected in" in by_kind["planned"]["held"]
    assert by_kind["running"]["held"] == "held for 40 s before, beside room for it"
    assert {kind: bar["held_since_s"] for kind, bar in by_kind.items()} == {
        "finished": None, "running": now_s - 100, "planned": now_s - 50
    }  # fmt: skip
    assert answer["since_s"] == now_s - 900  # the first of what there is, and the last
    assert answer["until_s"] == pytest.approx(now_s + 1940)
    drawn = ElementTree.fromstring(answer["svg"])
    kinds = [one.get("class") for one in drawn.iter("{http://www.w3.org/2000/svg}rect") if one.get("class") != "row"]
    assert kinds == ["finished", "hold", "running", "hold", "planned"]


def test_what_is_another_s_has_no_name(world):
    found = bars(world.call("GET", "/v1/timeline").json())
    assert (found["running"]["mine"], found["running"]["name"]) == (True, "runs")
    planned = found["planned"]
    assert (planned["visible"], planned["owner"], planned["name"], planned["held"]) == (False, None, "", None)
    assert planned["held_since_s"] is None


@pytest.mark.parametrize(
    ("words", "kinds"),
    [
        ("since_s={-850}&until_s={-700}", {"finished"}),
        ("since_s={-700}&until_s={0}", {"running"}),
        ("since_s={1000}&until_s={2000}", {"planned"}),
        ("since_s={0}&until_s={-10}", {"running"}),  # at least a minute of it
        ("gpu_type=B", set()),
        ("gpu_type=none", set()),
    ],
)
def test_a_part_of_it(world, words, kinds):
    for ago in (-850, -700, -10, 0, 1000, 2000):
        words = words.replace(f"{{{ago}}}", f"{world.now_s + ago}")
    answer = world.call("GET", f"/v1/timeline?width_px=280&{words}", "operator")
    assert answer.status_code == 200, answer.text
    assert set(bars(answer.json())) == kinds


def test_it_is_bounded_and_says_what_is_left_out(world, monkeypatch):
    monkeypatch.setattr(live_timeline, "MOST_BOARDS", 1)
    monkeypatch.setattr(live_timeline, "MOST_PLANNED", 0)
    answer = world.call("GET", "/v1/timeline", "operator").json()
    assert (len(answer["rows"]), answer["left_out_boards"], answer["left_out_bars"]) == (1, 1, 1)
    assert set(bars(answer)) == {"finished", "running"}


def test_the_overview_has_names_users_and_nodes_of_what_somebody_may_see(world):
    for who, users in (("operator", {"ada": (1, 1, 0), "bob": (0, 0, 1)}), ("ada", {"ada": (1, 1, 0)})):
        answer = world.call("GET", "/v1/overview", who).json()
        assert {one["owner"]: (one["running"], one["gpus"], one["waiting"]) for one in answer["users"]} == users
        assert [line["name"] for line in answer["running"]] == ["runs"]
        assert [line["name"] for line in answer["queue"]] == ["held" if "bob" in users else ""]
        nodes = {node["node"]: (node["free"], node["jobs_running"]) for node in answer["cluster"]["nodes"]}
        assert nodes == {"node-A": (0, 1), "node-B": (1, 0)}


def test_the_overview_s_lists_are_as_long_as_is_asked(world):
    controller = Controller(world.store, patient(**OPTIONS), order=("A", "B"))
    controller.submit(request(user="bob"), world.now_s)
    answer = world.call("GET", "/v1/overview?rows=1", "operator").json()
    assert (len(answer["queue"]), answer["queue_length"]) == (1, 2)


def row(predicted_s, runtime_s, state="finished"):
    return {
        "state": state, "predicted_runtime_s": predicted_s, "runtime_s": runtime_s, "runtime_provenance": "measured",
        "features": "dry run",
    }  # fmt: skip


def test_the_factor_says_as_much_of_what_was_predicted_too_short_as_of_too_long():
    rows = [row(20, 10), row(10, 40), row(30, 10), row(999, 1, "failed"), row(5, None)]
    found = factor_view(rows)
    assert (found.value, found.provenance) == (pytest.approx(3.0), "measured")  # of 2, 4 and 3
    assert factor_view(rows[3:]) is None


def test_power_over_the_day_is_of_the_same_jobs_and_says_how_it_was_had():
    """One kWh from 0:30 to 1:00 at 2 kW; under Simple 0.5 kWh from 1:00 to 2:00, though it is 1:00 now."""
    against = Against(
        jobs=1, left_out=3, energy_kwh=1.0, wait_s=0.0, simple_energy_kwh=0.5, simple_wait_s=0.0,
        spent=((1800.0, 3600.0, 1.0),), simple_spent=((3600.0, 7200.0, 0.5),), energy_kinds=(Provenance.MEASURED,),
    )  # fmt: skip
    day = power_day(Day(finished=4, since_s=0.0, rows=[], against=against), 3600.0)
    assert (day.jobs, day.step_s, day.used_provenance, day.energy_provenance) == (1, 900, "estimated", ["measured"])
    assert day.used_w == pytest.approx([0, 0, 2000, 2000, 0, 0, 0, 0])
    assert day.simple_w == pytest.approx([0, 0, 0, 0, 500, 500, 500, 500])


def test_power_is_asked_of_the_service(world):
    answer = world.call("GET", "/v1/power").json()
    assert len(answer["used_w"]) == len(answer["simple_w"]) <= 96


HOURS = Signal(
    name="carbon", times_s=(0.0, 3600.0, 7200.0), values=(400.0, 100.0, 300.0), ends_s=10_800.0, issued_s=0.0
)


def test_the_coming_day_has_the_signals_as_far_as_they_are_known_and_the_power_of_what_is_planned():
    """At 0:20 a job runs at 2 kW until 1:00, and another is to start at 1:00, at 500 W until 2:00."""
    cluster = replay([
        GpusJoined(time_s=0.0, node="n", gpu_type="A", gpus=1),
        SignalReported(time_s=0.0, signal=HOURS),
        *(JobSubmitted(time_s=0.0, job=Job(job_id=j, submit_s=0.0), predictions=seen(A=(3600, kwh)))
          for j, kwh in (("runs", 2.0), ("waits", 0.5))),
        JobPlaced(time_s=0.0, job_id="runs", attempt=1, gpu_type="A", gpus=1),
    ])  # fmt: skip
    plan = {"waits": Expected(gpu_type="A", gpus=1, start_s=3600.0, end_s=7200.0, start_low_s=None, start_high_s=None,
                              energy_kwh=0.5)}  # fmt: skip
    day = coming_day(cluster, plan, 1200.0)
    assert (day.since_s, day.step_s, len(day.running_w), day.starts) == (900.0, 900.0, 96, 1)
    assert day.running_w[:5] == pytest.approx([2000, 2000, 2000, 0, 0])
    assert day.planned_w[:8] == pytest.approx([0, 0, 0, 500, 500, 500, 500, 0])
    (carbon,) = day.signals
    assert (carbon.name, carbon.unit, carbon.provenance) == ("carbon", "g/kWh", "modelled")
    assert carbon.values[:12] == [400, 400, 400, 100, 100, 100, 100, 300, 300, 300, 300, None]


def test_the_page_shows_the_coming_day_to_eyes_keys_and_screen_readers(world, tmp_path):
    now_s = time.time() // 900 * 900
    controller = Controller(world.store, patient(**OPTIONS), order=("A", "B"))
    for name, values in (("carbon", (410.0, 120.0)), ("price", (0.31, -0.02))):
        times_s = tuple(now_s + 43_200 * n for n in (0, 1))
        controller.signal_reported(Signal(name=name, times_s=times_s, values=values, ends_s=now_s + 86_400), now_s)
    with served(world) as address, browser(tmp_path / "profile") as tab:
        tab.open(f"{address}/#token={world.tokens['operator']}")
        tab.shows("Carbon: 120 to 410 g/kWh, least from")
        tab.shows("Price: -0.02 to 0.31 USD/kWh")
        tab.shows("Planned power: at most 3.6 kW, at")
        tab.shows("1 start planned.")
        drawing = tab.driver.find_element("id", "coming-day")
        assert drawing.accessible_name.startswith("The coming 24 hours Carbon: 120 to 410 g/kWh")
        assert tab.count("#coming-day path") == 4
        tab.driver.find_element("css selector", "#coming-details summary").send_keys(Keys.ENTER)
        tab.shows("410 0.31")
        assert tab.count("#coming-table tbody tr") == 24
        tab.driver.switch_to.active_element.send_keys(Keys.TAB)
        assert tab.driver.switch_to.active_element.accessible_name == "The coming day by the hour"
        assert tab.complaints() == []
        assert tab.hosts() == {address.removeprefix("http://")}


@contextmanager
def served(world):
    """The service of a world behind a port."""
    server = uvicorn.Server(uvicorn.Config(build(world.desk, Mock()), port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()

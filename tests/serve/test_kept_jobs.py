"""What people read of jobs that are kept for better hours: until when, what that saves, and what it came to."""

from datetime import UTC, datetime
from unittest.mock import Mock

import pytest

from kilowait.core.errors import InputError
from kilowait.core.jobs import Measurement, Provenance
from kilowait.core.over_time.price_list import PriceList
from kilowait.core.over_time.signals import Signal
from kilowait.core.submission import DEADLINE, Ending, Program, checked
from kilowait.history.queries import history
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.live.mirror import Mirror
from kilowait.policies import POLICIES
from kilowait.program.resources import GpuRequest
from kilowait.report.consumption.attempt_use import attempt_uses
from kilowait.report.consumption.usage_report import usage_report
from kilowait.report.consumption.use_rates import Rates
from serve.app import Options
from serve.desk import questions
from serve.desk.answers import warnings_of
from serve.desk.hold_desk.kept_jobs import kept_view
from serve.desk.job_views import job_view
from serve.desk.submitting import request_of
from serve.desk.why import why
from serve.wire.schemas import SubmissionBody
from tests.support.live_world import request, seen

HOUR, NOON = 3600.0, datetime(2026, 12, 1, 12, tzinfo=UTC).timestamp()
POLICY = "flexible(simple,0s)"


@pytest.fixture
def live(tmp_path):
    controller = Controller(Store(f"{tmp_path}/kilowait.db"), POLICIES[POLICY](), order=("A",))
    controller.node_joined("n1", "A", 1, NOON)
    times_s = (NOON, NOON + 14 * HOUR, NOON + 15 * HOUR)
    carbon = Signal(name="carbon", times_s=times_s, values=(300.0, 210.0, 300.0), ends_s=NOON + 24 * HOUR)
    controller.signal_reported(carbon, NOON)
    yield controller
    controller.store.close()


def seen_by_people(live, job_id):
    mirror = Mirror(POLICY, {}, ("A",))
    for seq, event in live.store.events():
        mirror.take(seq, event)
    row = questions.job(live.store, job_id)
    view = job_view(row, None, None, kept_view(mirror.cluster.kept.get(job_id)))
    return view, why(row, mirror, None, None, None, live.cluster.now_s)


def test_a_kept_job_says_until_when_and_what_that_saves_and_a_finished_one_what_it_came_to(live):
    job_id = live.submit(request("k", predictions=seen(A=(HOUR, 0.2)), slack_s=20 * HOUR), NOON)
    live.decide(NOON + 60)
    view, said = seen_by_people(live, job_id)
    assert said.summary == "held until 2026-12-02 02:00 UTC on A: 30% less CO2 (forecast) than at once, 42 g"
    assert said.would_change == []  # boards are free: it waits for none
    assert (view.kept.until_s, view.kept.summary) == (NOON + 14 * HOUR, said.summary)
    assert view.kept.amounts["carbon"].value == pytest.approx(42.0)
    assert view.kept.at_once["carbon"].value == pytest.approx(60.0)
    (attempt,) = live.decide(NOON + 14 * HOUR)
    live.attempt_started(job_id, 1, attempt.token, NOON + 14 * HOUR)
    measured = Measurement(
        job_id=job_id,
        attempt=1,
        gpu_type="A",
        runtime_s=1800.0,
        energy_j=0.1 * 3.6e6,
        runtime_provenance=Provenance.MEASURED,
        energy_provenance=Provenance.MEASURED,
    )
    ending = Ending(exit_code=0, measurement=measured, meter="nvml")
    live.attempt_finished(job_id, 1, attempt.token, ending, NOON + 14.5 * HOUR)
    view, _ = seen_by_people(live, job_id)
    carbon = view.attempts[0].carbon_g
    assert (view.kept, carbon.value, carbon.provenance) == (None, pytest.approx(21.0), Provenance.MODELLED)
    (row,) = history(live.store)
    assert (row["carbon_g"], row["carbon_provenance"], row["water_l"]) == (pytest.approx(21.0), "modelled", None)
    told = usage_report(attempt_uses([row]), Rates(pue=1.2), "all")
    assert told["total"]["co2_kg"] == pytest.approx(0.021 * 1.2)
    assert any("signals" in line for line in told["basis"])


def test_what_is_asked_of_hours_reaches_the_job_and_an_old_key_stays_the_same_job():
    source = Mock(content_hash="h")
    program = Program(files={"main.py": "pass"}, entrypoint="main.py")
    body = SubmissionBody(source="pass", deadline="2026-12-01T18:00:00+00:00", slack_s=7200)
    asked = request_of(body, program, source, GpuRequest(gpus=1, gpu_types=None, evidence=()), seen(A=(10, 1)),
                       owner="ada", key="k")  # fmt: skip
    assert (asked.job.slack_s, asked.job.deadline_s) == (7200, NOON + 6 * HOUR)
    labels = {DEADLINE: "2026-12-01T18:00:00+00:00"}
    assert checked(request("k", labels=labels)) == checked(request("k", labels=labels, deadline_s=NOON + 6 * HOUR))
    assert checked(request("k")) != checked(request("k", slack_s=60.0))


def test_a_deadline_long_ago_is_one():
    body = SubmissionBody(source="pass", deadline="1969-12-31T00:00:00+00:00")
    asks = GpuRequest(gpus=1, gpu_types=None, evidence=())
    program = Program(files={"main.py": "pass"}, entrypoint="main.py")
    asked = request_of(body, program, Mock(content_hash="h"), asks, seen(A=(10, 1)), owner="a", key="k")
    assert asked.job.deadline_s == 0.0
    (said,) = warnings_of(asked, Mock(memory={}), NOON)
    assert said.startswith("its deadline 1969-12-31T00:00:00+00:00 has passed already")


def test_options_with_signals_keep_jobs_around_the_policy_that_was_chosen(tmp_path):
    (tmp_path / "prices.toml").write_text("usd_per_kg_co2 = 0.1\n")
    options = {"signals": [f"carbon={tmp_path}/x.csv,zone=DE"], "policy": "sjf", "prices": f"{tmp_path}/prices.toml"}
    settings = Options(**options, flexible="24h", database="sqlite:///x.db").settings()
    assert (settings.policy, settings.signals[0].zone) == ("flexible(sjf,24h)", "DE")
    assert settings.policy_options["prices"] == PriceList(usd_per_kg_co2=0.1)
    POLICIES[settings.policy](**settings.policy_options)
    assert Options(**{**options, "policy": "flexible(sjf,1h)"}).settings().policy == "flexible(sjf,1h)"
    settings = Options(**{**options, "policy": "provisioned(aged(sjf,1h),0.2)"}, flexible="24h").settings()
    assert settings.policy == "provisioned(flexible(aged(sjf,1h),24h),0.2)"  # the quota holds for what is started then
    POLICIES[settings.policy](**settings.policy_options)
    assert Options().settings().policy == Options().policy
    twice = {"signals": ["carbon=x.csv", "carbon=y.csv"]}
    for wrong in ({"flexible": "24h"}, {"signals": ["moon=x"]}, {**options, "flexible": "soon"}, twice):
        with pytest.raises(InputError):
            Options(**wrong).settings()

"""Signals of a site from a file and over HTTP: read, cut, repeated, kept through outages, replaced by a default."""

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

import pytest

from kilowait.core.errors import InputError
from kilowait.live.signalling.followed_signal import FollowedSignal
from kilowait.live.signalling.signal_source import signal_source

HOUR, DAY = 3600.0, 86400.0
BEGIN = 1_735_689_600.0  # 2025-01-01T00:00Z


def dated(hour):
    return f"2025-01-{1 + hour // 24:02d}T{hour % 24:02d}:00:00Z"


def hours(values):
    return "datetime_utc,gco2_per_kwh\n" + "".join(f"{dated(hour)},{value}\n" for hour, value in enumerate(values))


@contextmanager
def serving(answers):
    """A local server that gives (status, type, body) by path, and the headers it was asked with."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append({name.lower(): text for name, text in self.headers.items()})
            status, kind, body = answers[self.path.partition("?")[0]]
            self.send_response(status)
            self.send_header("Content-Type", kind)
            if status == 302:
                self.send_header("Location", body)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_):
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()


def forecast(*values):
    """As Electricity Maps answers."""
    return json.dumps(
        {
            "zone": "DE",
            "forecast": [{"carbonIntensity": v, "datetime": dated(hour)} for hour, v in enumerate(values)],
            "updatedAt": dated(0),
        }
    )


def test_a_forecast_over_http_is_known_from_its_first_hour_on_and_repeats_behind_its_end(monkeypatch):
    monkeypatch.setenv("EM_TOKEN", "secret")
    with serving({"/v3": (200, "application/json; charset=utf-8", forecast(300, 200, 100))}) as (url, asked):
        followed = FollowedSignal(signal_source(f"carbon={url}/v3?zone=DE,header=auth-token:$EM_TOKEN"))
        followed.look()
    signal = followed.news(BEGIN + 0.5 * HOUR, None)
    assert [signal.at(BEGIN + h * HOUR) for h in (0.5, 1, 2, 3, 4)] == [300, 200, 100, 300, 200]
    assert asked[0]["auth-token"] == "secret"
    assert followed.problem is None
    assert followed.news(BEGIN + HOUR, signal) is None  # it says nothing new


def test_hours_before_its_first_are_as_the_first():
    with serving({"/": (200, "text/csv", hours([300, 200]))}) as (url, _):
        followed = FollowedSignal(signal_source(f"carbon={url}/"))
        followed.look()
    assert followed.news(BEGIN - HOUR, None).at(BEGIN - HOUR) == 300


@pytest.mark.parametrize(("default", "expected"), [("", [200, 100]), (",default=380", [380, 380])])
def test_while_the_source_is_away_the_last_values_hold_and_then_what_was_said(default, expected):
    answers = {"/v": (200, "text/csv", hours([300, 200, *[250] * 21, 100]))}
    with serving(answers) as (url, _):
        followed = FollowedSignal(signal_source(f"carbon={url}/v{default}"))
        followed.look()
        signal = followed.news(BEGIN, None)
        assert signal.at(BEGIN + HOUR) == 200
        answers["/v"] = (503, "text/plain", "")
        followed.look()
        assert "answers 503" in followed.problem
        assert followed.news(BEGIN + HOUR, signal) is None
        later = followed.news(BEGIN + 5 * DAY + 0.5 * HOUR, signal)  # its hours are over
        assert [later.at(BEGIN + 5 * DAY + h * HOUR) for h in (1, 23)] == expected


def test_without_any_value_the_default_holds_and_else_nothing():
    for text, expected in (("carbon=/nowhere/x.csv,default=380", 380), ("carbon=/nowhere/x.csv", None)):
        followed = FollowedSignal(signal_source(text))
        followed.look()
        signal = followed.news(BEGIN, None)
        assert (signal and signal.at(BEGIN)) == expected
        assert "/nowhere/x.csv" in followed.problem
        assert followed.news(BEGIN + HOUR, signal) is None


def test_a_long_file_is_reported_a_day_at_a_time_with_what_is_over(tmp_path):
    path = tmp_path / "year.csv"
    path.write_text(hours(range(24 * 28)))
    followed = FollowedSignal(signal_source(f"carbon={path}"))
    followed.look()
    now_s = BEGIN + 10.5 * DAY
    signal = followed.news(now_s, None)
    assert (signal.begins_s, signal.ends_s) == (BEGIN + 8 * DAY, BEGIN + 19 * DAY)
    assert signal.at(BEGIN + 9 * DAY) == 9 * 24
    assert followed.news(now_s + HOUR, signal) is None
    assert followed.news(now_s + DAY, signal) is not None


def test_an_address_that_leads_elsewhere_is_not_followed_with_what_is_secret():
    with serving({"/a": (302, "text/plain", "http://127.0.0.1:9/")}) as (url, _):
        followed = FollowedSignal(signal_source(f"carbon={url}/a?key=hidden"))
        followed.look()
    assert "302" in followed.problem
    assert "hidden" not in followed.problem


@pytest.mark.parametrize(
    "text",
    [
        "carbon",
        "sun=x.csv",
        "carbon=x,default=nan",
        "carbon=x,default=-1",
        "carbon=x,zone=A,zone=B",
        "carbon=x,zone=",
        "carbon=http://h/,header=a:$NOT_SET_AT_ALL",
        "carbon=http://h/,header=a b:c",
    ],
)
def test_a_source_that_means_nothing_is_refused(text):
    with pytest.raises(InputError, match=r"signal|header|default"):
        signal_source(text)


def test_times_without_dates_are_of_no_use(tmp_path):
    (tmp_path / "x.csv").write_text("time_s,gco2_per_kwh\n0,1\n3600,2\n")
    with pytest.raises(InputError, match="datetime_utc"):
        signal_source(f"carbon={tmp_path}/x.csv").look()

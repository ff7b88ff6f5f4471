"""What people type for quotas, maintenance and notices, as the service is asked it; and a terminal that is closed."""

import io
import sys
from unittest.mock import Mock

import pytest

from kilowait.cli.by_the_hour.signal_words import signal_words
from kilowait.cli.main import main
from kilowait.core.errors import InputError


@pytest.fixture
def asked(monkeypatch):
    """Run a command; what its client was asked."""

    def ask(*words):
        client = Mock()
        monkeypatch.setattr("kilowait.cli.of_service.speaking.client_of", lambda args: client)
        assert main([*words, "--json"]) == 0
        return client.method_calls

    return ask


@pytest.mark.parametrize("where", ["file", "standard input"])
def test_a_url_with_a_secret_in_it_needs_not_stand_on_the_command_line(asked, monkeypatch, tmp_path, where):
    url = "https://hooks.example.org/secret"
    (tmp_path / "url").write_text(url + "\n")
    monkeypatch.setattr(sys, "stdin", io.StringIO(url + "\n"))
    monkeypatch.setattr("json.dumps", lambda answer, **_: "{}")
    ((name, (body,), _),) = asked("notify", "add", "--slack", f"@{tmp_path}/url" if where == "file" else "-")
    assert (name, body["kind"], body["target"]) == ("notify", "slack", url)


def test_a_url_that_cannot_be_read_is_named(capsys, tmp_path):
    assert main(["notify", "add", "--webhook", f"@{tmp_path}/none", "--url", "http://127.0.0.1:9"]) == 2
    assert f"@{tmp_path}/none: the URL cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["--each-user", "--gpus", "4"], {"members": [], "gpus": 4}),
        (["--member", "ada", "--member", "bob", "--kwh", "1.5"], {"members": ["ada", "bob"], "kwh": 1.5}),
    ],
)
def test_a_quota_is_asked_for_as_it_is_typed(asked, words, body):
    assert [tuple(call) for call in asked("quota", "set", "q", *words)] == [("set_quota", ("q", body), {})]


@pytest.mark.parametrize(("words", "told"), [(["--each-user"], "it limits nothing"), (["--gpus", "4"], "whose is it?")])
def test_half_a_quota_is_refused(capsys, words, told):
    assert main(["quota", "set", "q", *words, "--url", "http://127.0.0.1:9"]) == 2
    assert told in capsys.readouterr().err


def test_maintenance_is_a_time_with_a_zone(asked, monkeypatch, capsys):
    monkeypatch.setattr("json.dumps", lambda answer, **_: "{}")
    times = "--from", "2026-12-01T10:00:00+00:00", "--until", "2026-12-01T13:00:00+01:00"
    assert [tuple(call) for call in asked("maintain", "n1", *times, "--reason", "fans")] == [
        ("maintain", ("n1", 1796119200.0, 1796126400.0, "fans"), {})
    ]
    with pytest.raises(SystemExit):
        main(["maintain", "n1", "--until", "2026-12-01T13:00:00"])
    assert "is no time; give 2026-12-01T18:00:00+00:00" in capsys.readouterr().err


def test_a_reservation_is_asked_for_as_it_is_typed(asked, capsys):
    times = "--from", "2026-12-01T10:00:00+00:00", "--until", "2026-12-01T13:00:00+01:00"
    words = "--node", "n1", "--node", "n2", *times, "--project", "vision"
    body = {"nodes": ["n1", "n2"], "begins_s": 1796119200.0, "ends_s": 1796126400.0, "reason": ""}
    body |= {"users": [], "projects": ["vision"]}
    assert [tuple(call) for call in asked("reserve", "set", "demo", *words)] == [("reserve", ("demo", body), {})]
    assert main(["reserve", "set", "demo", "--node", "n1", *times, "--url", "http://127.0.0.1:9"]) == 2
    assert "reservation demo: for whom?" in capsys.readouterr().err


def test_a_closed_standard_output_is_said(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["cluster"]) == 2
    assert "standard output is closed" in capsys.readouterr().err


def test_a_wrong_word_of_a_signal_names_the_option_that_was_given():
    with pytest.raises(InputError, match=r"^--carbon grid.csv,x=y: 'x=y' is neither"):
        signal_words("carbon=grid.csv,x=y", "--carbon")

"""Staying with a job until it is over: what is written, and what the command exits with."""

import io
import json
import threading
from contextlib import redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from kilowait.cli import awaiting
from kilowait.cli.main import main
from kilowait.client import client as module
from kilowait.client import looking

pytestmark = pytest.mark.slow

ATTEMPT = {"attempt": 1, "gpu_type": "A6000", "gpus": 1, "nodes": ["n1"], "exit_code": 0, "reason": None, "meter": None}
ATTEMPT |= {"runtime_s": None, "energy_kwh": None, "started_s": 1.0, "ended_s": 2.0, "placed_s": 0.5}


def job(state, exit_code=None):
    """A job as the service shows it."""
    view = {"job_id": "job-1", "state": state, "owner": "ada", "reason": None, "expected": None, "progress": None}
    return view | {"attempts": [] if exit_code is None else [{**ATTEMPT, "exit_code": exit_code}], "name": "sweep"}


def log(offset, text, *, ended=False, missing=0):
    """A piece of a log."""
    return {"offset": offset, "next": offset + len(text), "text": text, "ended": ended, "missing": missing}


class Service:
    """Answers each path with the next of its answers, and again and again with the last."""

    def __init__(self):
        self.answers, self.asked, outer = {}, [], self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                path = self.path.partition("?")[0]
                left = outer.answers[path]
                self.answer(left.pop(0) if len(left) > 1 else left[0])

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"] or 0))
                outer.asked.append((self.path, json.loads(body or b"null")))
                self.answer(outer.answers[self.path][0])

            def answer(self, what):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(what).encode())

            def log_message(self, *_):
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def service(monkeypatch):
    service = Service()
    monkeypatch.setenv("KILOWAIT_URL", service.url)
    monkeypatch.setattr(looking, "LOOK_S", 0.001)
    monkeypatch.setattr(looking, "SELDOM_S", 0.001)
    yield service
    service.server.shutdown()
    service.server.server_close()


def run(*words):
    """(exit code, output, errors) of a command."""
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        code = main(list(words))
    return code, out.getvalue(), errors.getvalue()


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (job("finished", 0), 0),
        (job("failed", 7), 7),
        (job("failed", -9), 247),  # killed by a signal
        (job("failed", 256), 1),
        (job("failed"), 1),  # it never ran
        (job("cancelled"), 1),
        (job("cancelled", 0), 1),
    ],
)
def test_wait_exits_with_what_the_program_exited_with(service, end, code):
    service.answers["/v1/jobs/job-1"] = [job("waiting"), job("running"), end]
    assert run("wait", "job-1")[0] == code


def test_of_several_jobs_the_largest_exit_code_counts(service):
    service.answers["/v1/jobs/job-1"] = [job("running"), job("failed", 3)]
    service.answers["/v1/jobs/job-2"] = [job("failed", 2) | {"job_id": "job-2"}]
    code, out, errors = run("wait", "job-1", "job-2")
    assert (code, out) == (3, "")
    assert [line.split("  ")[1] for line in errors.splitlines() if line.startswith("job-")] == ["failed", "failed"]


def test_waiting_ends_when_its_time_is_over(service):
    service.answers["/v1/jobs/job-1"] = [job("running")]
    code, _, errors = run("wait", "job-1", "--timeout-s", "0.01")
    assert (code, "job-1: not over after 0 s" in errors) == (124, True)


def test_a_log_is_followed_through_silence_to_its_end(service):
    silent = log(6, "")
    pieces = [log(0, "begin\n"), *[silent] * 5, log(6, "end\n", missing=4), log(10, "", ended=True)]
    service.answers["/v1/jobs/job-1/logs"] = pieces
    code, out, _ = run("logs", "-f", "job-1")
    assert (code, out) == (0, "begin\n[kilowait: 4 bytes of it are no longer kept]\nend\n")


def test_a_submission_that_is_followed_ends_as_its_job(service, tmp_path):
    script = tmp_path / "train.py"
    script.write_text("print(1)\n")
    accepted = {"job_id": "job-1", "probe_version": "v", "asks_for": {"gpus": 1, "gpu_types": None}, "warnings": []}
    service.answers["/v1/jobs"] = [accepted | {"by_type": {}}]
    service.answers["/v1/jobs/job-1"] = [job("waiting"), job("failed", 5)]
    service.answers["/v1/jobs/job-1/logs"] = [log(0, "hello\n"), log(6, "", ended=True)]
    code, out, errors = run("submit", "--follow", "--name", "sweep", str(script))
    assert (code, out) == (5, "hello\n")
    assert errors.splitlines()[-1].startswith("job-1 (sweep)  failed")
    assert service.asked[0][1]["name"] == "sweep"


def test_ctrl_c_leaves_the_job_alone(service, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    service.answers["/v1/jobs/job-1"] = [job("running")]
    monkeypatch.setattr(module.Client, "follow", interrupted)
    errors = io.StringIO()
    with redirect_stderr(errors):
        assert awaiting.follow(module.Client(service.url), "job-1") == 130
    assert "job-1 goes on" in errors.getvalue()


CANCELLED = {"cancelled": ["job-1"], "ending": ["job-2"], "refused": {}}


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["job-1", "job-2"], {"job_ids": ["job-1", "job-2"]}),
        (["--name", "sweep-*"], {"name": "sweep-*"}),
        (["--state", "waiting", "--label", "team=vision"], {"state": "waiting", "labels": {"team": "vision"}}),
        (["--until", "2026-12-01T00:00:00+00:00"], {"until_s": 1796083200.0}),
        (["array-7"], {"array": "array-7"}),
        (["array-7:0-9,12"], {"array": "array-7", "tasks": "0-9,12"}),
        (["--all"], {"every": True}),
    ],
)
def test_many_jobs_are_cancelled_in_one_request(service, words, body):
    service.answers["/v1/jobs:cancel"] = [CANCELLED]
    code, out, _ = run("cancel", *words)
    assert (code, out) == (0, "job-1  cancelled\njob-2  its program was asked to end\n")
    assert service.asked == [("/v1/jobs:cancel", body)]


def test_what_could_not_be_cancelled_is_told_and_is_no_success(service):
    service.answers["/v1/jobs:cancel"] = [{"cancelled": [], "ending": [], "refused": {"job-9": "no job of yours"}}]
    assert run("cancel", "job-9", "job-8") == (2, "job-9  not cancelled: no job of yours\n", "")


@pytest.mark.parametrize("words", [[], ["job-1", "--all"], ["job-1", "--name", "x"]])
def test_cancel_without_a_word_of_which_is_refused(service, words):
    code, _, errors = run("cancel", *words)
    assert (code, "say which" in errors, service.asked) == (2, True, [])

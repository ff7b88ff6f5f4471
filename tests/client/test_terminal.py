"""What reaches a terminal is text: escapes of a job, a name or a refusal are shown and do nothing."""

import io
import json
import threading
from contextlib import redirect_stderr, redirect_stdout
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from kilowait.cli.main import main

EVIL = "\x1b[2J\x1b]0;pwned\x07\x9b31m"
JOB = {"job_id": "job-00000001", "state": "failed\n", "owner": f"ada{EVIL}", "submitted_s": 0, "reason": EVIL}
JOB |= {"entrypoint": "main.py", "arguments": [EVIL, "a\nb"], "labels": {"team": EVIL}, "deadline": None}
JOB |= {"expected": None, "progress": None, "attempts": [], "by_type": {}, "gpus": 1}
LOG = f"caf\xe9 {EVIL}\r100%\nend\n"
ANSWERS = {
    "/v1/jobs/job-00000001": (200, JOB),
    "/v1/jobs": (200, {"jobs": [JOB], "next": None}),
    "/v1/jobs/gone": (404, {"detail": f"no job{EVIL}\nforged: line", "remedy": "look"}),
    "/v1/jobs/job-00000002/logs": (200, {"offset": 1234, "next": 0, "text": "x\n", "ended": True, "missing": 1234}),
    "/v1/jobs/job-00000001/logs": (200, {"offset": 0, "next": 0, "text": LOG, "ended": True}),
}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        path = self.path.partition("?")[0]
        status, answer = ANSWERS[path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_):
        pass


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture(scope="module")
def url():
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def run(url, monkeypatch):
    """Run a command; returns what it wrote to its output and to its errors."""
    monkeypatch.setenv("KILOWAIT_URL", url)

    def command(*words, out):
        errors = Terminal()
        with redirect_stdout(out), redirect_stderr(errors):
            main(list(words))
        return out.getvalue(), errors.getvalue()

    return command


def steers(text):
    return any(not (character.isprintable() or character == "\n") for character in text)


@pytest.mark.parametrize("words", [("show", "job-00000001"), ("ps",), ("logs", "job-00000001"), ("show", "gone")])
@pytest.mark.parametrize("more", [[], ["--json"]])
def test_nothing_that_steers_a_terminal_reaches_it(run, words, more):
    for text in run(*words, *more, out=Terminal()):
        assert not steers(text)


def test_a_field_stays_in_its_line(run):
    out, _ = run("show", "job-00000001", out=Terminal())
    assert "main.py \\x1b[2J\\x1b]0;pwned\\x07\\x9b31m a\\nb" in out.splitlines()[2]
    _, errors = run("show", "gone", out=Terminal())
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize("more", [[], ["-f"]])
def test_a_log_is_the_jobs_own_text_in_a_file_and_harmless_on_a_terminal(run, more):
    shown, _ = run("logs", "job-00000001", *more, out=Terminal())
    assert shown == "caf\xe9 \\x1b[2J\\x1b]0;pwned\\x07\\x9b31m\n100%\nend\n"
    assert run("logs", "job-00000001", *more, out=io.StringIO(newline=""))[0] == LOG


def test_a_log_whose_beginning_is_gone_says_so_beside_it(run):
    out, errors = run("logs", "job-00000002", out=Terminal())
    assert (out, errors) == ("x\n", "kilowait: 1,234 bytes of it are no longer kept; it may begin within a line\n")

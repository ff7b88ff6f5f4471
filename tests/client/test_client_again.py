"""The client asks again where asking again is safe: against a small HTTP server that answers from a list."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from kilowait.client.client import Client
from kilowait.core.errors import InputError, ServiceError

PROXY = (500, "text/plain", "Internal Server Error")  # Ray Serve's own, when the replica behind it was killed
FAULT = (500, "application/problem+json", json.dumps({"detail": "a fault", "remedy": "tell the operator"}))
MADE = (201, "application/json", json.dumps({"job_id": "job-1"}))


@pytest.fixture
def service():
    """(address, answers to give in turn, what was asked)."""
    answers, asked = [], []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            asked.append((self.path, self.headers["Idempotency-Key"]))
            self.rfile.read(int(self.headers["Content-Length"]))
            status, kind, text = answers.pop(0)
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(text)))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", answers, asked
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_submission_whose_replica_was_killed_is_asked_for_again_by_the_same_key(service):
    address, answers, asked = service
    answers += [PROXY, PROXY, MADE]
    assert Client(address).submit({"source": "pass"}) == {"job_id": "job-1"}
    assert len(asked) == 3
    assert len({key for _, key in asked}) == 1


def test_a_fault_that_the_service_itself_tells_of_is_told_and_not_asked_again(service):
    address, answers, asked = service
    answers += [FAULT]
    with pytest.raises(ServiceError, match="a fault; tell the operator"):
        Client(address).submit({"source": "pass"})
    assert len(asked) == 1


def test_a_token_is_never_asked_for_twice(service):
    address, answers, asked = service
    answers += [PROXY]
    with pytest.raises(ServiceError, match=r"answered 500 .* no answer of kilowait's own"):
        Client(address).make_token("ada", "submit")
    assert len(asked) == 1


def test_a_service_that_does_not_come_back_is_given_up_when_patience_ends(service):
    address, answers, asked = service
    answers += [PROXY] * 2
    with pytest.raises(ServiceError, match="one of its parts may be on its way back; ask again"):
        Client(address, patience_s=-1.0).submit({"source": "pass"})
    assert len(asked) == 1


NO_ROUTES = (404, "text/plain", "Path '/v1/jobs' not found. Ping http://.../-/routes for available routes.")
ELSEWHERE = (404, "text/html", "<h1>Not Found</h1>")


def test_a_proxy_that_was_started_again_and_knows_no_routes_yet_is_asked_again(service):
    address, answers, asked = service
    answers += [NO_ROUTES, NO_ROUTES, (201, "application/json", json.dumps({"token": "kw_1"}))]
    assert Client(address).make_token("ada", "submit") == "kw_1"  # nothing was handed on
    assert len(asked) == 3
    answers += [ELSEWHERE]
    with pytest.raises(InputError, match="is it kilowait that listens there"):
        Client(address).make_token("ada", "submit")

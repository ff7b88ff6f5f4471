"""`kilowait drain` and `undrain`: a node is named by the beginning of its name, as `kilowait cluster` shows it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from kilowait.cli.main import main

NAMES = ("aaaabbbbccccdddd", "aaaaeeeeffffgggg", "1234")


def cluster(drained=()):
    nodes = [
        {"node": name, "address": "10.0.0.1", "gpu_type": "A100", "gpus": 1, "problem": None}
        | {"draining": name in drained}
        for name in NAMES
    ]
    rest = {"types": [], "running": 0, "waiting": 0, "stranded": 0, "policy": "simple", "rule": "", "problem": None}
    return {"nodes": nodes, **rest}


class Handler(BaseHTTPRequestHandler):
    asked = ()

    def do_GET(self):
        self.answer(cluster())

    def do_POST(self):
        self.asked.append(self.path)
        _, _, _, node, word = self.path.split("/")
        self.answer(cluster([node] if word == "drain" else []))

    def answer(self, body):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def asked(monkeypatch):
    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("KILOWAIT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(Handler, "asked", [])
    yield lambda: Handler.asked
    server.shutdown()
    server.server_close()


def test_a_node_is_drained_by_the_beginning_of_its_name(asked, capsys):
    assert main(["drain", "aaaab"]) == 0
    assert asked() == ["/v1/nodes/aaaabbbbccccdddd/drain"]
    lines = [line for line in capsys.readouterr().out.splitlines() if "node " in line]
    assert [line.endswith("drains") for line in lines] == [True, False, False]


def test_and_takes_jobs_again_by_it(asked, capsys):
    assert main(["undrain", "aaaab"]) == 0
    assert asked() == ["/v1/nodes/aaaabbbbccccdddd/undrain"]
    assert "drains" not in capsys.readouterr().out


@pytest.mark.parametrize("command", ["drain", "undrain"])
@pytest.mark.parametrize(("word", "what"), [("aaaa", "the beginning of 2 nodes' names"), ("x", "no node's name")])
def test_what_names_no_one_node_is_refused(asked, capsys, command, word, what):
    assert main([command, word]) == 2
    assert asked() == []
    error = capsys.readouterr().err
    assert f"node '{word}': {what}; take one of aaaabbbbccccdddd," in error

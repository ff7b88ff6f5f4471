"""`kilowait ray submit`: by the nodes of a recorded cluster, and a `ray` that writes down how it was called."""

import json
import shlex
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kilowait.advise.advice import TOO_LARGE
from kilowait.cli.main import main
from kilowait.cli.ray import ray as command
from tests.support.advised import advised, on_type

SELECTOR = "--entrypoint-label-selector"


def node(name, gpus, label=True, state="ALIVE"):
    """A node as Ray 2.60's dashboard says it at /api/v0/nodes?detail=true, without what is not read."""
    resources = {"CPU": 1.0, f"accelerator_type:{name}": 1.0, "GPU": gpus, "node:192.0.2.2": 1.0}
    labels = {"ray.io/node-id": "3de0", **({"ray.io/accelerator-type": name} if label else {})}
    return {"node_id": "3de0", "is_head_node": False, "state": state, "resources_total": resources, "labels": labels}


HEAD = {"node_id": "5da9", "state": "ALIVE", "resources_total": {"CPU": 2.0}, "labels": {}}
NODES = [HEAD, node("A100", 2.0), node("A100", 4.0), node("L4", 4.0), node("H100", 8.0, state="DEAD")]


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """A dashboard with `nodes`, and the words that `ray` was called with."""

    class Dashboard(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"data": {"result": {"result": self.server.nodes}}}).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Dashboard)
    server.nodes = NODES
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ray").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/called\nexit 3\n')
    (tmp_path / "bin" / "ray").chmod(0o755)
    (tmp_path / "train.py").write_text("print('trained')\n")
    (tmp_path / "own.py").write_text("import ray\nray.init()\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin", prepend=":")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", f"http://127.0.0.1:{server.server_address[1]}")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    advice = {"A100": on_type(600, 300, 1200, energy_kwh=0.2), "L4": on_type(900, 600, 1800, energy_kwh=0.1)}
    monkeypatch.setattr(command, "advice_of", lambda *_: advised(server.advice, gpus=2))
    server.advice, server.called = advice, tmp_path / "called"
    yield server
    server.shutdown()
    server.server_close()


def submitted(cluster, *words):
    """The options that `ray job submit` got, as a dict, and its entrypoint."""
    assert main(["ray", "submit", *words]) == 3  # ray's own code
    called = cluster.called.read_text().splitlines()
    assert called[:2] == ["job", "submit"]
    end = called.index("--")
    options = called[2:end]
    return dict(zip(options[::2], options[1::2], strict=True)), called[end + 1 :]


def test_gpus_and_every_type_that_fits_are_passed_on(cluster, capsys):
    options, entrypoint = submitted(cluster, "--working-dir", ".", "--", "python", "train.py", "--lr", "1")
    assert entrypoint == ["python", "train.py", "--lr", "1"]
    assert (options["--working-dir"], options["--entrypoint-num-gpus"]) == (".", "2")
    assert json.loads(options[SELECTOR]) == {"ray.io/accelerator-type": "in(A100,L4)"}
    assert set(json.loads(options["--metadata-json"])) == {"kilowait/advice"}
    assert "A100" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "words", "selector"),
    [
        ({}, ["--prefer", "time"], "A100"),
        ({}, ["--prefer", "energy"], "L4"),
        ({"A100": on_type(600, fitting=TOO_LARGE)}, [], "L4"),
    ],
)
def test_the_best_type_or_the_one_that_fits(cluster, change, words, selector):
    cluster.advice = {**cluster.advice, **change}
    options, _ = submitted(cluster, *words, "--", "python", "train.py")
    assert json.loads(options[SELECTOR]) == {"ray.io/accelerator-type": selector}


def test_nodes_without_the_label_are_meant_by_their_resource(cluster):
    cluster.nodes = [node("A100", 2.0, label=False), node("L4", 1.0)]
    options, _ = submitted(cluster, "--", "python", "train.py")
    assert SELECTOR not in options
    assert json.loads(options["--entrypoint-resources"]) == {"accelerator_type:A100": 0.001}


def test_what_is_set_stays_and_a_program_that_asks_ray_itself_is_given_no_gpus(cluster):
    chosen = {"ray.io/accelerator-type": "L4"}
    words = ["--entrypoint-num-gpus", "1", SELECTOR, json.dumps(chosen)]
    options, _ = submitted(cluster, *words, "--", "python", "train.py")
    assert (options["--entrypoint-num-gpus"], json.loads(options[SELECTOR])) == ("1", chosen)
    options, _ = submitted(cluster, "--", "python", "own.py")
    assert set(options) == {"--metadata-json"}


@pytest.mark.parametrize("words", [["python", "none.py"], ["sleep", "9"]])
def test_what_cannot_be_predicted_is_submitted_as_it_is(cluster, words, capsys):
    assert submitted(cluster, "--", *words) == ({}, words)
    assert "nothing is added" in capsys.readouterr().err
    assert submitted(cluster, "--address", "http://127.0.0.1:9", "--", *words)[1] == words


def test_why_shows_the_line_and_submits_nothing(cluster, capsys):
    assert main(["ray", "submit", "--why", "--", "python", "train.py"]) == 0
    shown = shlex.split(capsys.readouterr().out)
    assert shown[:3] == ["ray", "job", "submit"]
    assert "in(A100,L4)" in " ".join(shown)
    assert not cluster.called.exists()
    assert main(["ray", "submit", "--no-wait"]) == 2
    assert "write it behind --" in capsys.readouterr().err

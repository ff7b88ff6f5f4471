"""Ray's own ports: only who has the token is answered, no job has it, and no service starts over an open cluster."""

import os
import re
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import requests

from benchmarks.pretended_cluster import PretendedCluster
from kilowait.core.submission import Program
from serve.scheduler.open_cluster import refuse_open_cluster
from tests.support.listening import LOOPBACK, listening

CALL = """
import sys
from ray._raylet import GcsClient
try:
    print("answered by", len(GcsClient(address=sys.argv[1]).get_all_node_info()), "nodes")
except Exception as error:
    print(type(error).__name__)
"""
MAIN = """
import os
for name in sorted(os.environ):
    print(name)
import call, join
"""
JOIN = """
import sys
import ray
try:
    ray.init(address=sys.argv[1], namespace="kilowait", log_to_driver=False)
    print("joined", ray.get_actor("scheduler", namespace="kilowait"))
except Exception as error:
    print(type(error).__name__)
"""
GUESSES = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""What a job asks to see, so that its Ray looks for the cluster on 127.0.0.1."""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    cluster = PretendedCluster(tmp_path_factory.mktemp("closed"), "simple", dashboard=True, a=("A100", 1))
    cluster.until(lambda: cluster.ask("snapshot").free == {"A100": 1})
    yield cluster
    cluster.close()


def token():
    return Path(os.environ["RAY_AUTH_TOKEN_PATH"]).read_text()


def asked(address, **settings):
    """What a client says that has these settings of Ray's token and no others."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH")}
    command = [sys.executable, "-c", CALL, address]
    return subprocess.run(command, env={**environment, **settings}, stdout=-1, text=True, check=True).stdout.strip()


def test_only_a_client_with_the_token_is_answered(world):
    address = world.ray.address
    assert asked(address) == "AuthenticationError"
    assert asked(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64) == "AuthenticationError"
    assert asked(address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=token()) == "answered by 2 nodes"


@pytest.mark.parametrize("path", ["api/jobs/", "api/version", "nodes?view=summary", "api/serve/applications/"])
def test_the_dashboard_and_its_job_server_ask_for_the_token(world, path):
    url = f"http://{world.ray.webui_url}/{path}"
    assert requests.get(url, timeout=60).status_code == 401
    assert requests.get(url, headers={"Authorization": f"Bearer {token()}"}, timeout=60).status_code == 200


def test_nothing_of_the_cluster_listens_to_another_machine(world):
    world.over(world.submit("one that was run"))
    found = listening(child.pid for child in psutil.Process().children(recursive=True))
    assert len(found) > 10
    assert set(found) <= LOOPBACK


def test_a_job_can_neither_ask_nor_join_the_cluster_that_it_runs_on(world):
    program = Program(
        files={"call.py": CALL, "join.py": JOIN, "main.py": MAIN},
        entrypoint="main.py",
        arguments=(world.ray.address,),
        environment=GUESSES,
        timeout_s=120.0,
    )
    job_id = world.submit("hostile", program=program)
    (row,) = world.over(job_id)
    _, log = world.ask("log", job_id)
    lines = log.decode().splitlines()
    assert [line for line in lines if re.match(r"[A-Z]\w+Error$", line)] == ["AuthenticationError", "ConnectionError"]
    assert [line for line in lines if line.startswith("RAY_")] == sorted(GUESSES)
    assert not [line for line in lines if line.startswith(("joined", "answered"))]
    assert row["state"] == "finished"


def test_a_scheduler_that_is_killed_comes_back_with_the_token(world):
    pid = world.kill_scheduler()
    world.over(world.submit("after it"))
    assert world.ask("status")["pid"] != pid


def test_a_closed_cluster_is_no_cause_to_refuse(world):
    refuse_open_cluster(world.ray.address, allowed=False)

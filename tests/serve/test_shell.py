"""`kilowait shell` on a real terminal, against a real service on pretended GPUs, in rooms where there are any."""

import csv
import fcntl
import io
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from contextlib import closing

import pytest
import ray

from kilowait.client import service_text
from serve.runner.gang import NAMESPACE
from serve.scheduler.scheduler import NAME
from tests.support.wards import ROOT

LIMIT_S = 300


@pytest.fixture(scope="module")
def world(common_world):
    return common_world


class Screen:
    """The command on a terminal of its own."""

    def __init__(self, world, *words, who="ada"):
        self.far, near = pty.openpty()
        fcntl.ioctl(near, termios.TIOCSWINSZ, struct.pack("HHHH", 41, 83, 0, 0))
        environment = {
            "KILOWAIT_URL": world.address,
            "KILOWAIT_TOKEN": world.tokens[who],
            "PYTHONPATH": str(ROOT),
            "PATH": os.environ["PATH"],
            "TERM": "xterm",
        }
        self.process = subprocess.Popen(
            ["setsid", "--ctty", sys.executable, "-m", "kilowait", "shell", *words],
            stdin=near,
            stdout=near,
            stderr=near,
            env=environment,
        )
        os.close(near)
        self.text = ""

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.far)

    def until(self, text):
        """What has been shown, once this is in it; the rest is for the next time."""
        deadline_s = time.monotonic() + LIMIT_S
        while text not in self.text:
            assert time.monotonic() < deadline_s, self.text
            if select.select([self.far], [], [], 1)[0]:
                try:
                    self.text += os.read(self.far, 65536).decode(errors="replace")
                except OSError:
                    raise AssertionError(f"it ended: {self.text}") from None
        shown, _, self.text = self.text.partition(text)
        return shown

    def types(self, keys):
        os.write(self.far, keys.encode())

    def code(self):
        """Its exit code; what it still shows is dropped, or it would wait for somebody to read it."""
        deadline_s = time.monotonic() + LIMIT_S
        while self.process.poll() is None:
            assert time.monotonic() < deadline_s
            if select.select([self.far], [], [], 0.1)[0]:
                try:
                    self.text += os.read(self.far, 65536).decode(errors="replace")
                except OSError:
                    return self.process.wait()
        return self.process.returncode


def listed(world):
    """The table of `kilowait ps`."""
    rows = [*service_text.line(newest(world))]
    return service_text.table(service_text.HEAD, [rows])


def newest(world):
    return world.get("/v1/jobs", params={"newest": True, "limit": 1})["jobs"][0]


def test_a_shell_is_typed_into_left_and_come_back_to_by_its_owner_alone(world):
    with closing(Screen(world, "--gpus", "1", "--for", "2h", "--name", "looking", "--env", "WORD=well")) as screen:
        screen.until("$ ")
        screen.types("stty size; echo said-$WORD\n")
        assert "41 83" in screen.until("said-well")
        job = newest(world)
        assert (job["kind"], job["state"], job["name"], job["gpus"]) == ("shell", "running", "looking", 1)
        assert {(one["runtime_s"], one["provenance"]) for one in job["by_type"].values()} == {(7200.0, "asked")}
        assert job["progress"]["predicted_provenance"] == "asked"
        assert "looking (shell)" in listed(world)
        terminal = f"/v1/shells/{job['job_id']}/terminal"
        for who, status in (("bob", 404), ("operator", 404), ("reader", 403)):
            typed = world.call("POST", terminal, who, json={"keys": "touch /tmp/taken\n"})
            assert (typed.status_code, world.call("GET", terminal, who).status_code) == (status, status)
        screen.types("sleep 1000\n")
        screen.until("sleep 1000")
        screen.types("\x03")  # ends the sleep, not this
        screen.until("$ ")
        screen.types("\n")  # bash drops a key behind an interrupt
        screen.until("$ ")
        screen.types("kept=$((6*7))\n~.")
        screen.until("come back with: kilowait shell --attach")
        assert screen.code() == 0
    ray.kill(ray.get_actor(NAME, namespace=NAMESPACE), no_restart=False)  # its runner is another's, and goes on
    with closing(Screen(world, "--attach", job["job_id"])) as screen:
        assert "said-well" in screen.until("kept=$((6*7))")
        screen.types("\necho still-$kept\n")
        screen.until("still-42")
        screen.types("\x04")
        screen.until("finished")
        assert screen.code() == 0
    assert world.over(job["job_id"])["state"] == "finished"
    assert "still-42" in world.get(f"/v1/jobs/{job['job_id']}/logs")["text"]
    assert world.call("POST", terminal, json={"keys": "x"}).status_code == 409
    rows = csv.DictReader(io.StringIO(world.call("GET", "/v1/history").text))
    (row,) = [row for row in rows if row["job_id"] == job["job_id"]]
    assert (row["features"], row["predicted_provenance"], float(row["predicted_runtime_s"])) == (
        "asked",
        "asked",
        7200.0,
    )
    assert job["job_id"] not in [point["job_id"] for point in world.get("/v1/overview")["accuracy"]]
    assert not any("terminal" in entry["action"] for entry in world.get("/v1/audit", "operator")["entries"])


def test_a_connection_that_is_lost_leaves_the_shell_until_it_is_idle(world):
    with closing(Screen(world, "--gpus", "1", "--idle-timeout", "15s")) as screen:
        screen.until("$ ")
        screen.process.kill()
    over = world.over(newest(world)["job_id"])
    assert (over["state"], over["reason"].partition(":")[0]) == ("failed", "idle for 15 s")
    assert len(over["attempts"]) == 1


def test_a_command_is_given_standard_input_and_its_exit_code_is_the_shells(world):
    ended = subprocess.run(
        [sys.executable, "-m", "kilowait", "shell", "--", "sh", "-c", "read line; echo got-$line; exit 7"],
        input="this\n",
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={
            "KILOWAIT_URL": world.address,
            "KILOWAIT_TOKEN": world.tokens["ada"],
            "PYTHONPATH": str(ROOT),
            "PATH": os.environ["PATH"],
        },
    )
    assert ended.returncode == 7, ended.stderr
    assert "got-this" in ended.stdout
    assert "exit code 7" in ended.stderr


def test_who_gives_up_waiting_wants_no_gpus(world):
    with closing(Screen(world, "--gpus", "1", "--gpu-types", "A100", "--", "cat")) as first:
        world.until(lambda: newest(world)["state"] == "running")
        held = newest(world)["job_id"]
        with closing(Screen(world, "--gpus", "1", "--gpu-type", "A100")) as second:
            second.until("Ctrl-C gives it up")
            waits = newest(world)["job_id"]
            second.types("\x03")
            second.until("is cancelled")
            assert second.code() == 130
        assert world.over(waits)["state"] == "cancelled"
        assert world.call("POST", f"/v1/jobs/{held}/cancel").status_code == 202
        first.until("cancelled")
        assert first.code() == 1


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"gpus": 0}, "gpus"),
        ({"idle_s": 0}, "idle_s"),
        ({"term": "a b"}, "term"),
        ({"gpu_types": ["no such"]}, "gpu_types"),
        ({"gpu_types": []}, "gpu_types"),
        ({"software": "none"}, "software"),
    ],
)
def test_what_cannot_be_had_is_refused(world, asked, field):
    answer = world.call("POST", "/v1/shells", json=asked)
    assert answer.status_code in (403, 404, 422), answer.text
    assert answer.json()["field"] == field, answer.text

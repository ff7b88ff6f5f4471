"""slurmrestd's later forms, written after Slurm's documentation of v0.0.40; its v0.0.38 is asked in test_sbatch."""

import math
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from kilowait.advise.slurm.rest.rest_queue import rest_jobs, rest_partitions
from kilowait.advise.slurm.rest.rest_server import rest_server
from kilowait.core.errors import InputError, ServiceError

NOW_S = 1_800_000_000.0
JOB = {
    "job_id": 12,
    "job_state": ["RUNNING"],
    "user_name": "ada",
    "partition": "main",
    "node_count": {"set": True, "infinite": False, "number": 2},
    "tasks": {"set": True, "infinite": False, "number": 2},
    "tres_per_node": "gres/gpu:a100:2",
    "time_limit": {"set": True, "infinite": False, "number": 90},
    "start_time": {"set": True, "infinite": False, "number": NOW_S - 600},
    "priority": {"set": True, "infinite": False, "number": 77},
    "nodes": "a[0-1]",
    "array_job_id": {"set": False, "infinite": False, "number": 0},
    "comment": {"administrator": "", "job": "kilowait:0123456789abcdef;gpus=4;A100=60,50,70", "system": ""},
}
NO_LIMIT = {"set": False, "infinite": True, "number": 0}


def jobs(*found):
    return rest_jobs({"jobs": {"jobs": list(found)}}.__getitem__, NOW_S)


def test_numbers_that_say_whether_they_are_set_and_states_that_are_lists():
    (job,) = jobs(JOB, {**JOB, "job_state": ["CANCELLED"]})
    assert (job.job_id, job.runs, job.gpus, job.gpu_word) == ("12", True, 4, "a100")
    assert (job.limit_s, job.used_s, job.priority, job.nodes) == (5400, 600, 77, ("a0", "a1"))
    assert job.comment.startswith("kilowait:")
    (endless,) = jobs({**JOB, "job_state": ["COMPLETED", "COMPLETING"], "time_limit": NO_LIMIT})
    assert (endless.state, endless.limit_s) == ("COMPLETING", math.inf)


@pytest.mark.parametrize(
    ("suspended", "used_s"),
    [
        ({"job_state": "SUSPENDED", "pre_sus_time": 100, "suspend_time": NOW_S - 300}, 100),
        ({"pre_sus_time": 100, "suspend_time": NOW_S - 300}, 400),  # it goes on since then
        ({"job_state": "PENDING"}, 0),
    ],
)
def test_time_that_a_job_was_suspended_is_none_that_it_ran(suspended, used_s):
    assert jobs({**JOB, **suspended})[0].used_s == used_s


@pytest.mark.parametrize(
    ("text", "tasks"), [("3", [3]), ("0-2%1", [0, 1, 2]), ("0-8:4,11%2", [0, 4, 8, 11]), ("0-99999999", range(10_000))]
)
def test_tasks_of_an_array_that_wait_are_told_one_by_one(text, tasks):
    waiting = {"job_state": ["PENDING"], "array_job_id": 9, "array_task_string": text}
    assert [job.job_id for job in jobs({**JOB, **waiting})] == [f"9_{task}" for task in tasks]


def test_partitions_whose_parts_are_nested_and_nodes_that_are_away():
    nodes = [
        {"name": "a0", "state": ["MIXED"], "gres": "gpu:a100:2(S:0)", "features": ["fast", "big"]},
        {"name": "a1", "state": ["IDLE", "DRAIN"], "gres": "gpu:a100:2", "features": []},
    ]
    limits = {"maximums": {"time": NO_LIMIT}, "defaults": {"time": {"set": True, "infinite": False, "number": 60}}}
    partitions = [{"name": "main", "nodes": {"configured": "a[0-2]"}, **limits}]
    found = rest_partitions({"nodes": {"nodes": nodes}, "partitions": {"partitions": partitions}}.__getitem__)
    assert (found["main"].most_s, found["main"].default_s) == (math.inf, 3600)
    first, second = found["main"].nodes
    assert (first.up, first.boards[0].count, first.features) == (True, 2, {"fast", "big"})
    assert not second.up


@pytest.mark.parametrize("address", ["", "localhost:6820", "unix:", "http://", "ftp://x"])
def test_what_is_no_address_is_refused_and_nobody_there_is_said(address, tmp_path):
    with pytest.raises(InputError, match="unix:PATH"):
        rest_server(address, {})
    with pytest.raises(ServiceError, match="is slurmrestd up there"):
        rest_server(f"unix:{tmp_path / 'none'}", {})("jobs")


def test_the_server_is_asked_by_its_own_name_as_proxies_want_it():
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.headers.get_all("Host"))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    asked = []
    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        rest_server(f"http://127.0.0.1:{server.server_port}", {})("jobs")
        thread.join()
    assert asked == [[f"127.0.0.1:{server.server_port}"]]

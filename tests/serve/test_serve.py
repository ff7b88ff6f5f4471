"""The live service on a real Ray cluster of pretended GPUs: jobs land where the policy says, and kills lose nothing."""

import os
from collections import Counter

import pytest
import ray
from ray._raylet import GcsClient

from benchmarks.pretended_cluster import MARK, PretendedCluster
from kilowait.core.checkpoints.checkpointing import Checkpointing
from kilowait.core.errors import InputError, JobRefused
from kilowait.core.submission import Program
from tests.support.live_world import seen

PREEMPTION = 2  # of Ray's reasons to drain a node


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    nodes = {"a": ("A100", 2), "b": ("A100", 1), "c": ("RTX-A6000", 2)}
    os.environ["SERVICE_SECRET"] = "not for jobs"
    folder = tmp_path_factory.mktemp("serve")
    cluster = PretendedCluster(folder, policy="srpt", unknown_gpus=1, outputs=str(folder / "outputs"), **nodes)
    cluster.until(lambda: cluster.ask("snapshot").free == {"A100": 3, "A6000": 2})
    yield cluster
    cluster.close()
    del os.environ["SERVICE_SECRET"]


def free(world):
    return world.ask("snapshot").free


def ids(world, name):
    return world.nodes[name].node_id


def test_jobs_run_on_the_type_that_the_policy_chose_and_say_that_it_is_pretended(world):
    wants = [("A100", seen(A100=(9, 1)))] * 2 + [("A6000", seen(A6000=(9, 1)))]
    jobs = [world.submit(f"type-{n}", predictions=predictions) for n, (_, predictions) in enumerate(wants)]
    rows = world.over(*jobs)
    assert [(row["state"], row["attempts"][0]["gpu_type"]) for row in rows] == [("finished", t) for t, _ in wants]
    for row in rows:
        (attempt,) = row["attempts"]
        assert attempt["exit_code"] == 0
        assert {attempt[key] for key in ("runtime_provenance", "energy_provenance", "meter")} == {"pretended"}
        assert attempt["peak_memory_bytes"] > 10**6
    assert ids(world, "c") in rows[2]["attempts"][0]["places"]


def test_a_node_of_no_known_type_is_reported_and_not_used(world):
    (problem,) = world.ask("status")["unknown"].values()
    assert "it names none" in problem


def test_a_job_sees_its_own_environment_and_nothing_of_the_service(world):
    text = "import os\nfor name in sorted(os.environ): print(name)\nprint(os.getcwd(), os.environ['MINE'])"
    program = Program(files={"main.py": text}, entrypoint="main.py", environment={"MINE": "yes"})
    job_id = world.submit("environment", program=program)
    world.over(job_id)
    first, log = world.ask("log", job_id)
    *names, last = log.decode().splitlines()
    assert (first, last.endswith(" yes")) == (0, True)
    assert not [name for name in names if name.startswith(("SERVICE", "RAY", "VIRTUAL"))]
    assert world.ask("log", job_id, 0, len(log) - 5) == (len(log) - 5, log[-5:])


def test_the_same_key_is_the_same_job_and_refusals_reach_the_caller(world):
    assert world.submit("twice") == world.submit("twice")
    with pytest.raises(JobRefused, match="needs 9 GPUs"):
        world.submit("wide", gpus=9)
    with pytest.raises(InputError, match="client_key is missing"):
        world.submit(None)


def test_a_failing_program_is_told_by_its_last_words(world):
    program = Program(files={"m.py": "import sys\nprint('a lot')\nsys.exit('no data')"}, entrypoint="m.py")
    (row,) = world.over(world.submit("fails", program=program))
    assert (row["state"], row["reason"], len(row["attempts"])) == ("failed", "exit code 1: no data", 1)


def test_a_running_job_is_cancelled_with_all_that_it_started(world):
    text = "import subprocess, time\nchild = subprocess.Popen(['sleep', '3600'])\nprint(child.pid)\ntime.sleep(3600)"
    job_id = world.submit("cancel", program=Program(files={"m.py": text}, entrypoint="m.py"))
    world.until(lambda: world.ask("log", job_id)[1].endswith(b"\n"))
    child = int(world.ask("log", job_id)[1])
    world.ask("cancel", job_id)
    (row,) = world.over(job_id)
    assert row["state"] == "cancelled"
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


COUNTS = """
import pathlib, signal, sys, time
saved, ends = pathlib.Path("saved/count"), pathlib.Path(sys.argv[1])
count = int(saved.read_text()) if saved.exists() else 0
def save(*_):
    saved.parent.mkdir(exist_ok=True)
    saved.write_text(str(count))
    sys.exit(0)
signal.signal(signal.SIGUSR1, save)
print("from", count, *sys.argv[2:], flush=True)
while not ends.exists():
    time.sleep(0.01)
    count += 1
print("to", count, flush=True)
"""


def test_a_long_job_gives_way_to_a_short_one_and_goes_on_where_it_was(world, tmp_path):
    ends, both = tmp_path / "ends", {"gpus": 2, "predictions": seen(A6000=(10_000, 1))}
    program = Program(
        files={"m.py": COUNTS},
        entrypoint="m.py",
        arguments=(str(ends),),
        outputs=("saved/",),
        checkpointing=Checkpointing(signal="USR1", grace_s=300.0, arguments=("--resume",)),
    )
    long = world.submit("long", program=program, checkpoint_s=1.0, **both)
    world.until(lambda: world.ask("log", long)[1].endswith(b"from 0\n"))
    short = world.submit("short", gpus=2, predictions=seen(A6000=(10, 1)))
    (row,) = world.over(short)
    assert (row["state"], len(row["attempts"])) == ("finished", 1)
    world.until(lambda: world.ask("log", long)[1].endswith(b"--resume\n"))  # of its second attempt
    began = int(world.ask("log", long)[1].split()[1])
    ends.touch()
    (row,) = world.over(long)
    first, second = row["attempts"]
    assert (row["state"], first["reason"], second["reason"]) == ("finished", "preempted", None)
    assert first["ended_s"] <= second["placed_s"]
    last = int(world.ask("log", long)[1].split(b"to ")[1].split()[0])
    assert 0 < began <= last


def test_a_gang_runs_on_all_its_nodes_together(world):
    text = "import os\nprint(*(os.environ[n] for n in ('NODE_RANK', 'NNODES', 'MASTER_PORT')))"
    program = Program(files={"m.py": text}, entrypoint="m.py")
    job_id = world.submit("gang", gpus=3, predictions=seen(A100=(9, 1)), program=program)
    (row,) = world.over(job_id)
    assert row["state"] == "finished"
    assert ids(world, "a") in row["attempts"][0]["places"]
    assert ids(world, "b") in row["attempts"][0]["places"]
    words = [world.ask("log", job_id, rank)[1].decode().split() for rank in (0, 1)]
    assert [rank[:2] for rank in words] == [["0", "2"], ["1", "2"]]
    assert words[0][2] == words[1][2]
    world.until(lambda: ray.available_resources().get("GPU") == 6)


def test_gpus_of_other_work_are_not_free(world):
    @ray.remote(num_gpus=2, num_cpus=0, resources={"accelerator_type:A6000": 0.001})
    class Other:
        def ready(self):
            return True

    other = Other.options(resources={"accelerator_type:RTX-A6000": 0.001}).remote()
    ray.get(other.ready.remote())
    world.until(lambda: free(world) == {"A100": 3, "A6000": 0})
    ray.kill(other)
    world.until(lambda: free(world) == {"A100": 3, "A6000": 2})


def test_a_killed_scheduler_loses_no_job_and_runs_none_twice(world):
    running = [world.submit(f"kill-{n}", 3.0) for n in range(3)]
    world.until(lambda: {job for job, _, _ in world.marked()} >= set(running))
    waiting = [world.submit(f"kill-wait-{n}", 0.1) for n in range(4)]
    before = world.kill_scheduler()
    later = world.submit("kill-later")
    assert world.ask("status")["pid"] != before
    rows = world.over(*running, *waiting, later)
    assert Counter(row["state"] for row in rows) == {"finished": 8}
    assert all(len(row["attempts"]) == 1 for row in rows)
    for job_id in (*running, *waiting, later):
        assert world.marked(job_id) == [(job_id, "1", "begins"), (job_id, "1", "ends")]


def test_a_drained_node_gets_no_more_jobs_and_ends_what_it_runs(world):
    job_id = world.submit("drain", 2.0, predictions=seen(A6000=(9, 1)))
    world.until(lambda: world.marked(job_id) != [])
    node = ids(world, "c")
    accepted, _ = GcsClient(address=world.ray.address).drain_node(node, PREEMPTION, "a test", 0)
    assert accepted
    world.until(lambda: world.ask("snapshot").total == {"A100": 3, "A6000": 0})
    stranded = world.submit("stranded-not", predictions=seen(A100=(9, 1), A6000=(1, 1)))
    (row, other) = world.over(job_id, stranded)
    assert (row["state"], other["attempts"][0]["gpu_type"]) == ("finished", "A100")


def test_jobs_of_a_killed_node_run_again_elsewhere_and_its_guards_leave_nothing(world):
    text = MARK.replace("float(sys.argv[2])", "3600 if who[1] == '1' else 0")  # the first attempt would not end
    program = Program(files={"m.py": text}, entrypoint="m.py", arguments=(str(world.marks),))
    job_id = world.submit("lost", program=program, gpus=2, one_node=True, predictions=seen(A100=(9, 1)))
    world.until(lambda: world.marked(job_id) != [])
    world.lose("a")
    world.until(lambda: job_id in {w.job.job_id for w in world.ask("snapshot").stranded})
    world.nodes["a"] = world.add("A100", 2)
    (row,) = world.over(job_id)
    assert (row["state"], [a["exit_code"] for a in row["attempts"]]) == ("finished", [None, 0])
    assert world.marked(job_id) == [(job_id, "1", "begins"), (job_id, "2", "begins"), (job_id, "2", "ends")]

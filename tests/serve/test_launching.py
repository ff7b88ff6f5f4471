"""What a job's program is started by on each of its nodes, and what is predicted of it."""

import base64
import io
import os
import signal
import subprocess
import sys
import zipfile

import msgspec
import pytest

from kilowait.client.asked_job import job_of
from kilowait.core.checkpoints.checkpointing import Checkpointing
from kilowait.core.errors import InputError, SourceError
from kilowait.core.jobs import Held
from kilowait.core.submission import Attempt, Program
from kilowait.program.job_source import JobSource
from kilowait.program.submitted import GivenProgram, read
from serve.desk.programs import program_of
from serve.runner.launching import OwnPart, with_python_first, words_of
from serve.wire.problems import Refusal
from serve.wire.schemas import SubmissionBody

PEERS = {"MASTER_ADDR": "10.0.0.1", "MASTER_PORT": "29511"}
TRAIN = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--lr')\nprint(p.parse_args().lr)\n"
SCRIPT = "#!/bin/bash\nset -e\nexport OMP_NUM_THREADS=2\ntorchrun --nproc_per_node 4 src/train.py --lr $1\n"


def program(launcher, entrypoint="train.py"):
    return Program(files={entrypoint: TRAIN}, entrypoint=entrypoint, arguments=("--lr", "1"), launcher=launcher)


def attempt(*gpus, milli=1000):
    held = tuple(Held(node=f"n{n}", gpus=count) for n, count in enumerate(gpus))
    return Attempt(job_id="j", attempt=1, token=1, gpu_type="A100", gpu_milli=milli, where=held, placed_s=0.0)


@pytest.mark.parametrize(("gpus", "rank", "processes"), [((4,), 0, 4), ((2, 3), 1, 3), ((1,), 0, 1)])
def test_torchrun_has_a_process_for_each_gpu_of_a_node_and_meets_at_the_first(gpus, rank, processes):
    words = words_of(program("torchrun"), OwnPart.of(attempt(*gpus), rank), PEERS)
    assert words[:2] == ("-m", "torch.distributed.run")
    assert set(words[2:7]) == {
        f"--nnodes={len(gpus)}",
        f"--node-rank={rank}",
        f"--nproc-per-node={processes}",
        "--master-addr=10.0.0.1",
        "--master-port=29511",
    }
    assert words[7:] == ("train.py", "--lr", "1")


def test_accelerate_is_told_of_all_processes_and_refuses_nodes_of_other_sizes():
    words = words_of(program("accelerate"), OwnPart.of(attempt(2, 2), 1), PEERS)
    assert {"--num_machines=2", "--machine_rank=1", "--num_processes=4", "--main_process_ip=10.0.0.1"} <= set(words)
    assert words[-3:] == ("train.py", "--lr", "1")
    with pytest.raises(InputError, match=r"the nodes have \(1, 2\) GPUs; submit it with --one-node"):
        words_of(program("accelerate"), OwnPart.of(attempt(1, 2), 0), PEERS)
    assert OwnPart.of(attempt(1, milli=500), 0).processes == (1,)


STARTS = "import subprocess, sys\nsys.exit(subprocess.Popen([sys.executable, 'train.py'], start_new_session={}).wait())"
SAVES = """
import signal, sys, time
def save(*_):
    time.sleep(0.2)
    print("saved", flush=True)
    sys.exit(3)
signal.signal(signal.SIGUSR1, save)
print("ready", flush=True)
time.sleep(300)
"""


@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
@pytest.mark.parametrize("own_session", [True, False])
def test_a_launcher_waits_for_the_checkpoint_of_what_it_started_which_is_told_once(tmp_path, launcher, own_session):
    (tmp_path / "starts.py").write_text(STARTS.format(own_session))
    (tmp_path / "train.py").write_text(SAVES)
    asked = msgspec.structs.replace(program(launcher), checkpointing=Checkpointing(signal="USR1"))
    *interpreter, _module = words_of(asked, OwnPart.of(attempt(1), 0), PEERS)[:4]
    started = [sys.executable, *interpreter, "starts"]
    with subprocess.Popen(started, cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout.readline() == b"ready\n"
        os.killpg(process.pid, signal.SIGUSR1)
        assert (process.stdout.read(), process.wait(300)) == (b"saved\n", 3)


def test_bash_runs_a_script_that_finds_the_jobs_python_by_its_name(tmp_path):
    (tmp_path / "run.sh").write_text("python -c 'import sys; print(sys.executable)'\necho $1 $NODE_RANK\n")
    asked = msgspec.structs.replace(program("bash", "run.sh"), arguments=("one",))
    words = words_of(asked, OwnPart.of(attempt(1), 0), PEERS)
    path = with_python_first(os.environ["PATH"], sys.executable)
    environment = {"PATH": path, "NODE_RANK": "0"}
    said = subprocess.run([sys.executable, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert said.stdout.splitlines() == [sys.executable, "one 0"]


def test_what_a_script_starts_is_predicted_with_its_arguments_and_gpus():
    given = GivenProgram(
        files={"run.sh": SCRIPT, "src/train.py": TRAIN}, entrypoint="run.sh", arguments=("0.1",), launcher="bash"
    )
    found = read(given)
    source = found.source(given)
    assert (source.entrypoint, source.arguments) == ("src/train.py", ("--lr", "0.1"))
    assert found.asks.gpus == 4
    assert source.environment["WORLD_SIZE"] == "4"
    with pytest.raises(SourceError, match=r"run.sh: it starts src/train.py, which is not among its files"):
        read(msgspec.structs.replace(given, files={"run.sh": SCRIPT}))


def test_a_program_is_predicted_from_the_folder_to_which_its_script_goes():
    script = SCRIPT.replace("torchrun", "cd src\ntorchrun").replace("src/train.py", "train.py")
    given = GivenProgram(files={"run.sh": script, "src/train.py": TRAIN}, entrypoint="run.sh", launcher="bash")
    source = read(given).source(given)
    assert (source.entrypoint, source.folder) == ("src/train.py", "src")
    elsewhere = msgspec.structs.replace(given, files={"run.sh": script.replace("cd src", "cd /"), "train.py": TRAIN})
    assert read(elsewhere).source(elsewhere).folder == "."


def test_a_script_that_stays_where_it_is_has_the_content_hash_that_it_had():
    given = GivenProgram(
        files={"run.sh": "python src/train.py\n", "src/train.py": TRAIN}, entrypoint="run.sh", launcher="bash"
    )
    found = read(given)
    assert '"folder"' not in found.source(given).to_json()
    bare = JobSource(files={"src/train.py": TRAIN.encode()}, entrypoint="src/train.py")
    assert found.source(given).within({}).content_hash == bare.content_hash


def test_a_launcher_says_to_the_prediction_how_many_processes_there_are():
    given = GivenProgram(files={"train.py": TRAIN}, entrypoint="train.py", gpus=2, launcher="torchrun")
    assert read(given).source(given).environment["WORLD_SIZE"] == "2"


def test_a_script_is_taken_where_bash_is_asked_for_and_python_is_not():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("run.sh", SCRIPT)
    packed = base64.b64encode(out.getvalue()).decode()
    asked = program_of(SubmissionBody(archive=packed, entrypoint="run.sh", launcher="bash"))
    assert (asked.launcher, asked.entrypoint) == ("bash", "run.sh")
    with pytest.raises(Refusal) as caught:
        program_of(SubmissionBody(source=TRAIN, launcher="bash"))
    assert "no script for a shell" in caught.value.detail


@pytest.mark.parametrize(("given", "launcher"), [(None, "bash"), ("torchrun", "torchrun")])
def test_the_client_gives_a_script_to_bash_where_no_launcher_is_named(tmp_path, given, launcher):
    (tmp_path / "run.sh").write_text(SCRIPT)
    assert job_of(tmp_path / "run.sh", launcher=given)["launcher"] == launcher
    assert job_of(tmp_path, "run.sh", launcher=given)["launcher"] == launcher
    (tmp_path / "train.py").write_text(TRAIN)
    assert "launcher" not in job_of(tmp_path / "train.py")

"""The isolation `container`, by an engine of the test's own that understands the words of podman's that we use."""

import json
import sys
from pathlib import Path

import pytest

from kilowait.core.jobs import Held
from kilowait.core.submission import Attempt
from kilowait.isolation.modes import IsolationSettings, Mount, holding
from kilowait.measure.allotment import Allotment
from kilowait.measure.joblog import read_log
from kilowait.measure.ward import WardOrder
from serve.runner.confine import confine
from tests.support.wards import ended_well

ENGINE = """#!{python}
import json, os, sys
words = sys.argv[1:]
open({told!r}, "a").write(json.dumps([words, sorted(os.environ)]) + "\\n")
if words[0] == "run":
    volumes = [word.partition("=")[2].split(":") for word in words if word.startswith("--volume=")]
    places = {{inside: host for host, inside, _ in volumes}}
    image = words.index("image:1")
    assert words[image + 1 : image + 3] == ["python3", "-c"]
    command = words[image + 4 :]
    os.chdir(places["/job"])
    environment = json.load(open(places["/kilowait/environment.json"]))
    os.execve({python!r}, [{python!r}, *command[1:]], environment)
"""


ATTEMPT = Attempt(
    job_id="job-00000007",
    attempt=2,
    token=1,
    gpu_type="A100",
    gpu_milli=1000,
    where=(Held(node="n", gpus=2),),
    placed_s=0.0,
    owner="ada",
)


@pytest.fixture
def told(tmp_path, monkeypatch):
    """An engine on the path; gives what it was told, a call each."""
    folder, heard = tmp_path / "bin", tmp_path / "told"
    folder.mkdir()
    engine = folder / "podman"
    engine.write_text(ENGINE.format(python=sys.executable, told=str(heard)))
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return lambda: [json.loads(line) for line in heard.read_text().splitlines()]


def test_a_job_runs_in_the_image_with_its_variables_and_no_word_of_them_in_the_engines(tmp_path, told):
    data = tmp_path / "data"
    data.mkdir()
    settings = IsolationSettings(
        mode="container", image="image:1", mounts=(Mount(str(data)),), memory_per_gpu_bytes=1 << 30
    )
    allotment = Allotment(gpu_type="A100", gpu_milli=1000, gpu_ids=("GPU-1", "GPU-2"), pretended=False)
    confinement, files = confine(settings, ATTEMPT, allotment, tmp_path, node_gpus=4)
    (files.scratch / "m.py").write_text("import os, sys; print(os.environ['SECRET'], sys.argv[1:])")
    command, environment = files.command(("m.py", "--lr", "1"), {"SECRET": "s3\nname=x", "PATH": "/usr/bin"})
    (tmp_path / "log").mkdir()
    ended_well(
        WardOrder(
            command=command,
            environment=environment,
            folder=str(files.scratch),
            log_folder=str(tmp_path / "log"),
            log_bytes=10_000,
            confinement=confinement,
        )
    )
    assert read_log(tmp_path / "log")[1].decode() == "s3\nname=x ['--lr', '1']\n"
    (run, variables), (removal, _) = told()
    assert "s3" not in " ".join(run)
    assert "SECRET" not in variables
    assert {
        "--rm",
        "--cap-drop=all",
        "--memory=2147483648",
        "--pids-limit=8192",
        "--cpu-shares=2048",
        "--device=nvidia.com/gpu=GPU-1",
        "--device=nvidia.com/gpu=GPU-2",
        f"--volume={data}:{data}:ro",
    } <= set(run)
    assert removal == ["rm", "--force", "kilowait-job-00000007-2"]
    assert Path(files.scratch.parent / "environment.json").stat().st_mode & 0o777 == 0o600


def test_a_job_that_asks_for_an_image_is_in_a_container_of_it_whatever_the_mode(tmp_path, told):
    confinement, files = confine(
        IsolationSettings(mode="none", image="site:1", memory_per_gpu_bytes=1 << 30),
        ATTEMPT,
        Allotment(gpu_type="A100", gpu_milli=1000, gpu_ids=("0",), pretended=True),
        tmp_path,
        node_gpus=4,
        image="image:1",
    )
    command, _ = files.command(("m.py",), {}, "image:image:1", terminal=True)
    assert [word for word in command if word.endswith(":1")] == ["image:1"]
    assert {"--interactive", "--tty"} <= set(command)
    assert confinement.after[1:3] == ("rm", "--force")
    assert (confinement.room, confinement.uid) == (None, None)


def test_apptainer_runs_an_image_where_there_is_no_other_engine_and_the_guard_limits_its_memory(tmp_path, monkeypatch):
    engine = tmp_path / "bin/apptainer"
    engine.parent.mkdir()
    engine.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(engine.parent))
    allotment = Allotment(gpu_type="A100", gpu_milli=1000, gpu_ids=("GPU-1",), pretended=False)
    settings = IsolationSettings(mode="none", memory_per_gpu_bytes=1 << 30)
    confinement, files = confine(settings, ATTEMPT, allotment, tmp_path, node_gpus=4, image="pytorch/pytorch:2.6")
    command, _ = files.command(("m.py", "--lr", "1"), {})
    assert command[:2] == (str(engine), "exec")
    assert {"--containall", "--no-home", "--pwd=/job", "--nv", f"--bind={files.scratch}:/job:rw"} <= set(command)
    after = command[command.index("docker://pytorch/pytorch:2.6") + 1 :]
    assert after[:2] == ("python3", "-c")
    assert after[-4:] == ("python3", "m.py", "--lr", "1")
    assert confinement.after == ()
    assert confinement.limits.memory_bytes == 1 << 30


def test_without_an_image_it_cannot_be_had(told):
    assert "and an image" in holding(IsolationSettings(mode="container")).problem

"""Every example runs as it stands."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.torch]

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"


def run(*words: object, folder: Path = ROOT) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run([str(word) for word in words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_resnet_trains() -> None:
    small = ["--images", 32, "--batch-size", 16, "--width", 4, "--depth", 1, "--epochs", 2]
    printed = run(sys.executable, EXAMPLES / "train_resnet.py", *small)
    losses = re.findall(r"epoch (\d): loss (\d+\.\d+)", printed)
    assert [epoch for epoch, _ in losses] == ["1", "2"]


def test_the_bert_trains_as_its_configuration_says() -> None:
    small = ["--config", "config.yaml", "--steps", 2, "--batch-size", 1]
    printed = run(sys.executable, "train.py", *small, folder=EXAMPLES / "bert")
    assert re.findall(r"step (\d): loss \d+\.\d+", printed) == ["1", "2"]


def test_the_resnet_and_the_bert_can_be_predicted() -> None:
    command = [sys.executable, "-m", "kilowait", "predict", "--device", "A100"]
    printed = run(*command, EXAMPLES / "train_resnet.py", "--", "--images", "256", "--epochs", "1")
    assert re.search(r"dry run: \w+, 2 optimizer steps", printed)
    bert = ["--entrypoint", "train.py", EXAMPLES / "bert", "--", "--steps", "3"]
    printed = run(*command, *bert)
    assert "files: train.py, model.py, config.yaml" in printed
    assert re.search(r"dry run: \w+, 3 optimizer steps", printed)


def test_kilowait_is_used_from_python() -> None:
    printed = run(sys.executable, EXAMPLES / "from_python.py")
    assert re.findall(r"^(\w+): .* kWh \(modelled\)$", printed, re.M) == ["A100", "H100", "simple", "patient"]


@pytest.mark.parametrize("policy", ["simple", "value", "patient"])
def test_the_list_of_jobs_runs_through_a_policy(policy: str) -> None:
    command = [sys.executable, "-m", "kilowait", "simulate", "--gpus", "A100=2,A6000=4", "--policy", policy]
    assert re.search(r"^jobs +10$", run(*command, "--jobs", EXAMPLES / "jobs.csv"), re.M)


def test_the_policy_places_by_energy_as_counted_by_hand(tmp_path: Path) -> None:
    """One A100 and one A6000: the small job is greener on the A6000, and so is the large one, which therefore waits."""
    from examples.my_policy import greenest_first
    from kilowait.simulate.jobs_csv import read_submissions
    from kilowait.simulate.loop import simulate

    jobs = "job_id,submit_s,gpus,A100_s,A100_kwh,A6000_s,A6000_kwh\nlarge,0,1,100,3,200,2\nsmall,0,1,50,1,60,0.5\n"
    (tmp_path / "jobs.csv").write_text(jobs)
    submissions = read_submissions(tmp_path / "jobs.csv", {"A100": (1,), "A6000": (1,)}, None)
    run_ = simulate(submissions, {"A100": 1, "A6000": 1}, greenest_first())
    placed = {one.job_id: (one.start_s, one.gpu_type) for one in run_.placements}
    assert placed == {"small": (0, "A6000"), "large": (60, "A6000")}
    run_ = simulate(submissions, {"A100": 1, "A6000": 1}, greenest_first(patience_s=0))
    placed = {one.job_id: (one.start_s, one.gpu_type) for one in run_.placements}
    assert placed == {"small": (0, "A6000"), "large": (0, "A100")}


def test_the_script_for_labelling_names_commands_and_options_that_exist() -> None:
    script = EXAMPLES / "label_on_my_gpus.sh"
    run("bash", "-n", script)
    text = re.sub(r"\\\n\s*", "", script.read_text())
    lines = re.findall(r'^"\$PYTHON" -m (\S+)(.*)$', text, re.M)
    assert [module for module, _ in lines][:2] == ["pipelines.corpus", "pipelines.label"]
    for module, arguments in lines:
        words = ["predict"] if module == "kilowait" else []
        shown = run(sys.executable, "-m", module, *words, "--help")
        assert all(option in shown for option in re.findall(r"--[a-z-]+", arguments))


def test_the_file_of_gpu_types_adds_one_and_overrides_one() -> None:
    """Run apart: a process reads one catalogue."""
    code = "from kilowait.core.hardware import CATALOGUE as c; print(c['A6000'].idle_w, c['Lab-24'].peak_w)"
    command = [sys.executable, "-c", code]
    variables = {**os.environ, "KILOWAIT_GPUS": str(EXAMPLES / "gpus.toml")}
    printed = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True).stdout
    assert [float(word) for word in printed.split()] == [19.5, 200.0]

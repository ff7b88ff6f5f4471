"""`kilowait sbatch` and `kilowait srun` against a real Slurm, with predictions that the tests choose."""

import io
import json
import os
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from kilowait.advise.job_comment import read_comment
from kilowait.advise.slurm.partitions import ask_partitions
from kilowait.advise.slurm.rest.rest_queue import rest_jobs, rest_partitions
from kilowait.advise.slurm.rest.rest_server import rest_server
from kilowait.advise.slurm.slurm_queue import ask_queue
from kilowait.cli import sbatch
from kilowait.cli.main import main
from kilowait.core.errors import ModelError
from tests.support.advised import advised, on_type
from tests.support.slurm_cluster import slurm, slurmrestd, until

pytestmark = pytest.mark.slow
JOB = '#!/bin/bash\n#SBATCH --job-name=mine\n#SBATCH --output=out\n{lines}\nsrun python train.py "$@"\n'


@pytest.fixture(scope="module")
def cluster():
    with slurm() as running:
        yield running


@pytest.fixture
def here(cluster, tmp_path, monkeypatch):
    """A folder with a program, in which Slurm's commands speak to the cluster and predictions are given."""
    monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
    monkeypatch.setenv("KILOWAIT_ADVICE", str(tmp_path / "advice"))
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("import torch\nprint('trained', torch.ones(1))\n")
    asked = []
    monkeypatch.setattr(sbatch, "advice_of", lambda question, _: asked.append(question) or advised())
    return asked


def submitted(capfd, *words, lines=""):
    """What became of `kilowait sbatch WORDS`: (the job as Slurm has it, what was said)."""
    Path("job.sh").write_text(JOB.format(lines=lines))
    assert main(["sbatch", *words]) == 0
    out, said = capfd.readouterr()
    return out.split()[-1], said


def test_time_type_and_comment_are_set(cluster, here, capfd):
    job_id, said = submitted(capfd, "--hold", "job.sh", "--", "--lr", "1", lines="#SBATCH --gpus=1")
    job = cluster.job(job_id)
    assert (job["TimeLimit"], job["TresPerJob"], job["JobName"]) == ("00:25:00", "gres:gpu:a100:1", "mine")
    assert read_comment(job["Comment"]).advice_id == advised().advice_id
    assert cluster.run("squeue", "-h", "-j", job_id, "-o", "%l|%k").startswith("25:00|kilowait:")
    assert here[0].gpu_types == ("A100", "A6000")
    assert here[0].reading.source.arguments == ("--lr", "1")
    assert "A100 is done first of 2 types" in said
    kept = json.loads(Path(f"advice/{advised().advice_id}.json").read_text())
    assert kept["by_type"]["A100"]["runtime_s"] == 600


def test_the_users_own_win_and_a_script_with_a_limit_is_left_alone(cluster, here, capfd):
    job_id, said = submitted(
        capfd, "--hold", "--comment=mine", "--gpus=a6000:2", "job.sh", lines="#SBATCH --time=7 --gpus=1"
    )
    job = cluster.job(job_id)
    assert (job["TimeLimit"], job["TresPerJob"], job["Comment"]) == ("00:07:00", "gres:gpu:a6000:2", "mine")
    assert "its own limit 7 is short: 00:45:00 would be right" in said
    assert main(["sbatch", "--force", "--hold", "--comment=mine", "job.sh"]) == 0
    forced = cluster.job(capfd.readouterr().out.split()[-1])
    assert forced["TimeLimit"] == "00:25:00"
    assert forced["Comment"].startswith("kilowait:")


def test_the_job_that_was_added_to_runs_and_its_arguments_arrive(cluster, here, capfd):
    Path("job.sh").write_text('#!/bin/sh\n#SBATCH --output=out\necho "$CUDA_VISIBLE_DEVICES" "$@"\n#python train.py\n')
    here.clear()
    assert main(["sbatch", "--wait", "--parsable", "--gpus=2", "job.sh", "--", "a b"]) == 0
    out, said = capfd.readouterr()
    assert out.strip().isdigit()
    assert "kilowait: warning: not predicted, so nothing is added: job.sh: it starts no program of Python" in said
    assert "a b" in Path("out").read_text()


def test_nothing_is_submitted_with_why_or_test_only(cluster, here, capfd):
    before = cluster.run("squeue", "-h")
    Path("job.sh").write_text(JOB.format(lines=""))
    assert main(["sbatch", "--why", "--json", "job.sh"]) == 0
    shown = json.loads(capfd.readouterr().out)
    assert shown["command"][:2] == ["sbatch", "--time=00:25:00"]
    assert main(["sbatch", "--test-only", "--gpus=1", "job.sh"]) == 0
    assert "to start at" in capfd.readouterr().err
    assert cluster.run("squeue", "-h") == before


def test_what_cannot_be_predicted_is_submitted_as_it_is(cluster, here, capfd, monkeypatch):
    def unable(question, environment):
        raise ModelError("no model")

    monkeypatch.setattr(sbatch, "advice_of", unable)
    job_id, said = submitted(capfd, "--hold", "job.sh")
    job = cluster.job(job_id)
    assert (job["TimeLimit"], job.get("Comment", "")) == ("01:00:00", "")
    assert said == "kilowait: warning: not predicted, so nothing is added: no model\n"


def test_an_error_of_kilowaits_own_loses_no_job_and_a_wrong_option_is_one(cluster, here, capfd, monkeypatch):
    monkeypatch.setattr(sbatch, "advice_of", lambda *_: {}["lost"])
    _, said = submitted(capfd, "--hold", "job.sh")
    assert said == "kilowait: warning: not predicted, so nothing is added: KeyError: 'lost'\n"
    for wrong in ("--risk=2", "--margin=-1"):
        assert main(["sbatch", wrong, "job.sh"]) == 2
    assert main(["sbatch", "missing.sh"]) == 2


def test_a_script_on_standard_input_and_one_that_is_wrapped(cluster, here, capfd, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("#!/bin/sh\n#SBATCH --hold --time=3\npython train.py\n"))
    assert main(["sbatch", "--gpus=1"]) == 0
    piped = cluster.job(capfd.readouterr().out.split()[-1])
    assert (piped["TimeLimit"], piped["TresPerJob"]) == ("00:03:00", "gres:gpu:a100:1")
    assert main(["sbatch", "--hold", "--gpus=1", "--wrap=python train.py --lr 2"]) == 0
    wrapped = cluster.job(capfd.readouterr().out.split()[-1])
    assert (wrapped["TimeLimit"], wrapped["JobName"]) == ("00:25:00", "wrap")
    assert [question.reading.source.arguments for question in here] == [(), ("--lr", "2")]


def test_what_slurm_refuses_for_what_was_added_is_submitted_without(cluster, here, capfd, monkeypatch):
    monkeypatch.setattr(sbatch.SubmissionPlan, "words", property(lambda plan: _impossible(plan)))
    job_id, said = submitted(capfd, "--hold", "job.sh")
    assert cluster.job(job_id)["TimeLimit"] == "01:00:00"
    assert "Batch job submission failed" in said
    assert "Slurm refuses what was added; submitted as it was written" in said


def test_a_job_inherits_the_users_environment_alone(cluster, here, capfd, monkeypatch):
    monkeypatch.setattr(sbatch, "advice_of", lambda *_: os.environ.update(OF_KILOWAIT="1") or advised())
    monkeypatch.setenv("OF_KILOWAIT", "to be restored")
    monkeypatch.delenv("OF_KILOWAIT")
    submitted(capfd, "--wait", "--gpus=a100:1", "--time=1", "job.sh", lines="env; exit 0")
    assert "SLURM_JOB_ID=" in Path("out").read_text()
    assert "OF_KILOWAIT" not in Path("out").read_text()


def test_a_limit_in_a_pbs_line_is_the_users(cluster, here, capfd):
    job_id, said = submitted(capfd, "--hold", "job.sh", lines="#PBS -l walltime=0:03:00")
    assert cluster.job(job_id)["TimeLimit"] == "00:03:00"
    assert "it has #PBS lines" in said
    job_id, _ = submitted(capfd, "--hold", "--ignore-pbs", "job.sh", lines="#PBS -l walltime=0:03:00")
    assert cluster.job(job_id)["TimeLimit"] == "00:25:00"


@pytest.mark.parametrize("words", [["--version"], ["-N1", "-V"], ["--usage"], ["-N1", "--help"]])
def test_a_question_to_sbatch_is_answered_without_a_script(cluster, here, capfd, monkeypatch, words):
    monkeypatch.delattr("sys.stdin")
    assert main(["sbatch", *words]) == 0
    assert re.search("slurm-wlm|sbatch", "".join(capfd.readouterr()))


def test_a_heterogeneous_job_and_slurms_own_preference_pass_through(cluster, here, capfd):
    job_id, said = submitted(capfd, "--hold", "-n1", ":", "-n2", "job.sh")
    assert "a heterogeneous job has several programs" in said
    assert {"HetJobOffset", "HetJobId"} <= set(cluster.job(job_id))
    job_id, _ = submitted(capfd, "--hold", "--prefer", "fast", "--prefer=energy", "job.sh")
    assert cluster.job(job_id)["TimeLimit"] == "00:25:00"


def _impossible(plan):
    return [*(["--partition=nowhere"] if plan.additions else []), "--hold", "job.sh"]


def test_srun_runs_what_it_is_given_with_what_was_added(cluster, here, capfd):
    assert main(["srun", "--gpus=1", "env"]) == 0
    out, said = capfd.readouterr()
    assert "not predicted" in said
    assert "SLURM_JOB_GPUS" in out or "SLURM_JOB_ID" in out
    assert main(["srun", "--gpus=1", "python", "train.py"]) in (0, 1)
    found = [words for words in cluster.run("scontrol", "show", "jobs", "-o").splitlines() if "JobName=python" in words]
    assert "TimeLimit=00:25:00" in found[-1]
    assert "gres:gpu:a100:1" in found[-1]


def test_a_busy_controller_does_not_hold_a_submission_up_for_long(here, capfd, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    began_s = time.monotonic()
    Path("job.sh").write_text(JOB.format(lines=""))
    assert main(["sbatch", "job.sh"]) == 2
    assert "sbatch: not on this machine" in capfd.readouterr().err
    assert time.monotonic() - began_s < 5


def test_the_live_queue_is_told_and_a_wait_decides_between_types(cluster, here, capfd):
    cluster.cancel_all()
    comment = "kilowait:0123456789abcdef;gpus=2;A100=3000,2000,3300"
    for _ in range(2):
        cluster.run("sbatch", "--gpus=a100:2", "-t60", f"--comment={comment}", "-o/dev/null", "--wrap=sleep 600")
    waiting = cluster.run("sbatch", "--parsable", "--gpus=a100:2", "-t9", "-o/dev/null", "--wrap=sleep 1").strip()
    until(lambda: cluster.run("squeue", "-h", "-t", "R").count("\n") == 2)
    assert main(["advise", "--slurm", "--json", "--gpus=1", "--time=5"]) == 0
    report = json.loads(capfd.readouterr().out)
    (job,) = report["waiting"]
    assert (job["job_id"], job["gpus"], job["gpu_type"]) == (waiting, 2, "a100")
    assert 1500 < job["wait_s"] < 3600
    assert report["new_job"]["A6000"]["wait_s"] == 0
    assert all(wait["wait_s"] > 1000 for pool, wait in report["new_job"].items() if pool.startswith("A100"))
    assert [risk["probability"] < 0.2 for risk in report["limits"]] in ([], [True, True])
    assert main(["advise", "--slurm"]) == 0
    assert "Slurm's own plan" in capfd.readouterr().out
    job_id, said = submitted(capfd, "--hold", "--gpus=1", "job.sh")
    assert cluster.job(job_id)["TresPerJob"] == "gres:gpu:a6000:1"  # slower, and free
    assert "A6000 is done first of 2 types that fit, its wait of 0 s counted" in said
    cluster.cancel_all()


def test_a_short_job_behind_a_wide_one_starts_at_once_for_its_limit_is_right(cluster, here, capfd, monkeypatch):
    cluster.cancel_all()
    short = advised({"A100": on_type(20, 10, 40)})
    monkeypatch.setattr(sbatch, "advice_of", lambda *_: short)
    for options in (["--gpus=a100:2", "--time=10"], ["--gpus=a100:4", "--nodes=2", "--time=60"]):
        cluster.run("sbatch", "--output=/dev/null", *options, "--wrap=sleep 600")
    options = ("--gpus=a100:1", "--comment=kilowait:0123456789abcdef;gpus=1;A100=20,10,40", "--output=/dev/null")
    plain = cluster.run("sbatch", "--parsable", *options, "--wrap=sleep 600").strip()
    Path("train.py").write_text("import time\ntime.sleep(600)\n")
    job_id, _ = submitted(capfd, "--gpus=a100:1", "--margin=1", "job.sh")
    until(lambda: cluster.job(job_id)["JobState"] == "RUNNING")
    assert cluster.job(job_id)["TimeLimit"] == "00:02:00"
    assert cluster.job(plain)["JobState"] == "PENDING"  # an hour by default: it would delay the wide one
    assert main(["advise", "--slurm", "--apply", "--margin=1"]) == 0
    assert f"job {plain}: limit 01:00:00 to 00:02:00: lowered" in capfd.readouterr().out
    until(lambda: cluster.job(plain)["JobState"] == "RUNNING")
    assert json.loads(Path("applied.jsonl").read_text())["job_id"] == plain
    cluster.cancel_all()


def test_slurmrestd_tells_the_same_of_the_queue_as_slurms_commands(cluster, here, tmp_path):
    with slurmrestd(cluster, "unix:" + str(tmp_path / "rest")) as address:
        cluster.cancel_all()
        for options in (
            ["--gpus=a100:2", "--time=60", "--comment=kilowait:0123456789abcdef;gpus=2;A100=3000,2000,3900"],
            ["--gres=gpu:a6000:2", "--nodes=2", "--time=50", "--constraint=big"],
            ["--gpus-per-task=1", "--ntasks=2", "--partition=long"],
            ["--gpus=a100:4", "--time=10"],
            ["--array=0-8:4%2", "--gpus=a100:2", "--time=1-2:00", "--partition=long"],
            ["--hold", "--gpus=a100:1", "--nice=7"],
            ["--time=5"],
        ):
            cluster.run("sbatch", *options, "--output=/dev/null", "--wrap=sleep 600")
        over = cluster.run("sbatch", "--parsable", "--output=/dev/null", "--wrap=exit 0").strip()
        until(lambda: cluster.job(over)["JobState"] == "COMPLETED")
        until(lambda: cluster.run("squeue", "-h", "-t", "R").count("\n") == 4)
        ask = rest_server(address, {})
        by_commands = {job.job_id: job for job in ask_queue()}
        by_rest = {job.job_id: job for job in rest_jobs(ask, time.time())}
        assert rest_partitions(ask) == ask_partitions()
        assert main(["advise", "--slurm", "--json", "--rest", address]) == 0
    assert len(by_rest) == 9  # three tasks of the array; not the job that is over
    untimed = {"used_s": 0.0, "slurm_start": "", "nice": 0, "reason": ""}
    for job_id, job in by_commands.items():
        assert by_rest[job_id].may_start == job.may_start  # squeue may write a sentence for the reason
        assert replace(by_rest[job_id], **untimed) == replace(job, **untimed)
        assert abs(by_rest[job_id].used_s - job.used_s) <= 5
    cluster.cancel_all()


def test_places_are_exchanged_in_slurm_by_nice_values(cluster, here, capfd):
    cluster.cancel_all()
    cluster.run("sbatch", "--gpus=a6000:4", "--nodes=2", "--time=10", "--output=/dev/null", "--wrap=sleep 600")
    until(lambda: cluster.run("squeue", "-h", "-t", "R").count("\n") == 1)
    options = ("--gpus=a6000:1", "--output=/dev/null", "--wrap=sleep 600")
    comments = [f"--comment=kilowait:0123456789abcdef;gpus=1;A6000={seconds},1,900" for seconds in (600, 60, 300)]
    waiting = [cluster.run("sbatch", "--parsable", comment, *options).strip() for comment in comments]
    until(lambda: "Priority" in cluster.job(waiting[2])["Reason"])
    before = [int(cluster.job(job_id)["Priority"]) for job_id in waiting]
    assert main(["advise", "--slurm", "--apply", "--shortest-first"]) == 0
    assert f"job {waiting[1]}: nice -1, predicted 60 s: set" in capfd.readouterr().out
    assert [int(cluster.job(job_id)["Priority"]) for job_id in waiting] == [before[2], before[0], before[1]]
    cluster.cancel_all()

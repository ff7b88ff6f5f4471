"""Slurm's command run with what was added: once more without where it refuses, never where it may have taken it."""

import os
import signal
import subprocess
import sys

import pytest

from kilowait.advise.slurm.batch_request import read_words
from kilowait.advise.slurm.slurm_call import submit
from kilowait.advise.slurm.submission_plan import Addition, SubmissionPlan

PLAN = SubmissionPlan(request=read_words("sbatch", ["job.sh"], {}), additions=(Addition(word="--time=1", why=""),))


@pytest.fixture
def calls(tmp_path, monkeypatch):
    """A function: an sbatch that says this wherever a limit was added; and what it was called with."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")

    def refusing(said):
        command = tmp_path / "sbatch"
        refusal = f'case "$1" in --time*) echo "{said}" >&2; exit 1;; esac'
        command.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n{refusal}\n')
        command.chmod(0o755)
        return lambda: (tmp_path / "calls").read_text().splitlines()

    return refusing


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: error: Batch job submission failed: Requested time limit is invalid (missing or exceeds some limit)",
        "sbatch: error: Failed to validate job spec, --gpus < -N",
        "sbatch: unrecognized option '--time=1'",
    ],
)
def test_a_refusal_is_answered_by_the_users_own_words(calls, said, capfd):
    called = calls(said)
    assert submit(PLAN, None, dict(os.environ)) == 0
    assert called() == ["--time=1 job.sh", "job.sh"]
    assert "submitted as it was written" in capfd.readouterr().err


@pytest.mark.parametrize(
    "reason",
    [
        "Socket timed out on send/recv operation",
        "Unable to contact slurm controller (connect failure)",
        "Zero Bytes were transmitted or received",
    ],
)
def test_a_job_that_may_have_been_taken_is_not_submitted_twice(calls, reason):
    called = calls(f"sbatch: error: Batch job submission failed: {reason}")
    assert submit(PLAN, None, dict(os.environ)) == 1
    assert called() == ["--time=1 job.sh"]


def test_what_slurm_refuses_either_way_is_not_said_to_be_submitted(calls, tmp_path, capfd):
    calls("sbatch: error: Batch job submission failed: Invalid partition name specified")
    (tmp_path / "sbatch").write_text((tmp_path / "sbatch").read_text().replace("--time*", "*"))
    assert submit(PLAN, None, dict(os.environ)) == 1
    assert "submitted" not in capfd.readouterr().err


def test_a_script_that_nobody_reads_breaks_nothing(calls):
    called = calls("sbatch: error: nothing")
    assert submit(PLAN, "#!/bin/sh\n" + 100_000 * "#\udcff\n", dict(os.environ)) == 1
    assert called() == ["--time=1 job.sh"]


def test_the_first_interrupt_is_sruns_own(tmp_path):
    """It ends by itself, and so does kilowait, with its exit code."""
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\ntrap 'echo asked; exit 7' INT\necho up\nwhile :; do sleep 0.05; done\n")
    srun.chmod(0o755)
    script = (
        "import os, sys\n"
        "from kilowait.advise.slurm.batch_request import read_words\n"
        "from kilowait.advise.slurm.slurm_call import submit\n"
        "from kilowait.advise.slurm.submission_plan import SubmissionPlan\n"
        "sys.exit(submit(SubmissionPlan(request=read_words('srun', ['x'], {})), None, dict(os.environ)))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as running:
        assert running.stdout.readline() == "up\n"
        os.killpg(running.pid, signal.SIGINT)
        assert (running.stdout.read(), running.wait(20)) == ("asked\n", 7)

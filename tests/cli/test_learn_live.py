"""`kilowait learn --sacct live` against a real slurmdbd: what Slurm itself keeps of jobs that are over."""

import json

import pytest

from kilowait.cli.main import main
from tests.support.slurm_accounting import accounting
from tests.support.slurm_cluster import slurm, until

pytestmark = pytest.mark.slow
COMMENT = "kilowait:0123456789abcdef;gpus=1;A100=2,1,4"


def test_jobs_are_joined_by_the_comment_that_slurmdbd_kept(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("KILOWAIT_ADVICE", str(tmp_path / "advice"))
    with accounting() as lines, slurm(more=lines) as cluster:
        monkeypatch.setenv("SLURM_CONF", cluster.environment["SLURM_CONF"])
        options = ("--gpus=a100:1", f"--comment={COMMENT}", "--output=/dev/null")
        cluster.run("sbatch", *options, "--wrap=sleep 1")
        cluster.run("sbatch", *options, "--array=0-1", "--wrap=sleep 1")
        cluster.run("sbatch", *options, "--wrap=exit 3")
        cluster.run("sbatch", "--gpus=a100:1", "--comment=a\nb|c", "--output=/dev/null", "--wrap=sleep 1")
        until(lambda: not cluster.run("squeue", "--noheader").strip(), "the jobs do not end", seconds=60)

        def learnt():
            assert main(["learn", "--sacct", "live", "--since", "now-1hours", "--only-compare", "--json"]) == 0
            return json.loads(capsys.readouterr().out)

        until(lambda: learnt()["joined"] == 3, "slurmdbd does not have the jobs")
        found = learnt()
    assert found["by_type"]["A100"]["jobs"] == 3
    assert found["left_out"]["did not complete: FAILED"] == 1
    assert found["left_out"]["no prediction in its comment"] == 1

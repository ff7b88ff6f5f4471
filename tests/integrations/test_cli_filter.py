"""The cli_filter plugin for administrators, in a real Slurm, against the service's real API."""

import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from kilowait.advise.job_comment import read_comment
from kilowait.core.jobs import Prediction
from serve.desk.predictor_replica import Told
from tests.support import fuzzed_service
from tests.support.slurm_cluster import slurm

pytestmark = [pytest.mark.slow, pytest.mark.ray]
PLUGIN = Path(__file__).parents[2] / "integrations" / "slurm" / "cli_filter.lua"
JOB = '#!/bin/bash\n#SBATCH --output=/dev/null {lines}\ncd .\nsrun python train.py --lr 1 "$@"\n'
ASKED = []
DELAY_S = [0.0]


class Predictor(fuzzed_service.Predictor):
    """600 s, 300 to 1190."""

    def predict(self, question):
        ASKED.append(question)
        time.sleep(DELAY_S[0])
        expected = Prediction(runtime_s=600.5, energy_kwh=0.5, runtime_low_s=300.0, runtime_high_s=1190.0)
        by_type = dict.fromkeys(question.gpu_types, expected)
        return Told(version="probe", predictions=by_type, vector=np.zeros(4, np.float32), memory={}, dry_run="whole")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A Slurm with the plugin, whose users' environment names the service."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(fuzzed_service, "Predictor", Predictor)
        folder = tmp_path_factory.mktemp("service")
        with (
            fuzzed_service.fuzzed_service(folder) as (address, tokens),
            slurm(more="JobCompType=jobcomp/none\nCliFilterPlugins=lua") as running,
        ):
            shutil.copy(PLUGIN, running.folder / "cli_filter.lua")
            running.environment.update(KILOWAIT_URL=address, KILOWAIT_TOKEN=tokens["ada"])
            yield running


def submitted(cluster, folder, *words, lines="", **environment):
    """The job that plain sbatch made, as Slurm has it, and the seconds that took."""
    (folder / "job.sh").write_text(JOB.format(lines=lines))
    (folder / "train.py").write_text('print("a\\tb")\n')
    began_s = time.monotonic()
    done = subprocess.run(
        ["sbatch", "--parsable", "--hold", *words],
        env={**cluster.environment, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return cluster.job(done.stdout.strip()), time.monotonic() - began_s


def test_a_job_without_a_limit_gets_one_and_a_comment(cluster, tmp_path):
    job, _ = submitted(cluster, tmp_path, "--gpus=a6000:2", "job.sh", "a b")
    assert job["TimeLimit"] == "00:25:00"  # 1190 s and 5 minutes
    comment = read_comment(job["Comment"])
    assert (comment.gpus, comment.seconds_by_type) == (2, {"A6000": (600.5, 300.0, 1190.0)})
    assert ASKED[-1].source.arguments == ("--lr", "1", "a b")
    assert ASKED[-1].source.files == {"train.py": b'print("a\\tb")\n'}
    assert ASKED[-1].gpus == 2


def test_what_the_user_set_and_what_is_not_plain_is_left_alone(cluster, tmp_path):
    assert submitted(cluster, tmp_path, "--time=3", "job.sh")[0]["TimeLimit"] == "00:03:00"
    assert submitted(cluster, tmp_path, "job.sh", lines="--time=4")[0]["TimeLimit"] == "00:04:00"
    assert submitted(cluster, tmp_path, "--comment=mine", "job.sh")[0]["Comment"] == "mine"
    assert submitted(cluster, tmp_path, "--wrap=python train.py")[0]["TimeLimit"] == "01:00:00"
    loop = "\nfor seed in 1 2; do"
    assert submitted(cluster, tmp_path, "job.sh", lines=loop)[0]["TimeLimit"] == "01:00:00"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], ""),  # no GPU: what was predicted for one is no limit
        (["--gpus=0"], ""),
        (["--gpus=1"], "./prepare"),
        (["--gpus=1"], "module load cuda && make"),
        (["--gpus=1"], "DATA=$(./fetch)"),
        (["--gpus=1"], "cd elsewhere"),
        (["--gpus=1"], "if test -e a; then"),
    ],
)
def test_what_may_take_longer_than_was_predicted_gets_no_limit(cluster, tmp_path, words, line):
    job, _ = submitted(cluster, tmp_path, *words, "job.sh", lines=f"\n{line}")
    assert job["TimeLimit"] == "01:00:00"
    assert "Comment" not in job


def test_lines_that_take_no_time_are_none_and_a_partition_bounds_the_limit(cluster, tmp_path):
    lines = "\nmodule load cuda/12\n\nexport A=1\n. .venv/bin/activate\ncd $SLURM_SUBMIT_DIR\n# make; make"
    assert submitted(cluster, tmp_path, "--gres=gpu:1", "job.sh", lines=lines)[0]["TimeLimit"] == "00:25:00"
    cluster.run("scontrol", "update", "PartitionName=long", "MaxTime=10", "DefaultTime=5")
    assert submitted(cluster, tmp_path, "--gpus=1", "-p", "long", "job.sh")[0]["TimeLimit"] == "00:10:00"
    job, _ = submitted(cluster, tmp_path, "--gpus=1", "-p", "long,main", "job.sh")
    assert job["TimeLimit"] == "00:25:00"


def test_a_service_that_is_slow_or_down_delays_no_submission(cluster, tmp_path):
    job, seconds = submitted(cluster, tmp_path, "--gpus=1", "job.sh", KILOWAIT_URL="http://127.0.0.1:9")
    assert job["TimeLimit"] == "01:00:00"
    DELAY_S[0] = 3.0
    job, slow_s = submitted(cluster, tmp_path, "--gpus=1", "job.sh", "another")
    DELAY_S[0] = 0.0
    assert job["TimeLimit"] == "01:00:00"
    assert slow_s < seconds + 2  # it waits for 0.8 s; the rest is for a busy machine

"""The job_submit plugin for administrators, in a real Slurm, with a table that `kilowait learn --limits` wrote."""

from pathlib import Path

import pytest

from kilowait.cli.main import main
from tests.support.slurm_cluster import PARTITIONS, slurm

pytestmark = pytest.mark.slow
PLUGIN = Path(__file__).parents[2] / "integrations" / "slurm" / "job_submit.lua"
OTHER = "PartitionName=other Nodes=b0,b1 MaxTime=01:30:00 State=UP\n"
HEAD = "JobID|User|State|ExitCode|End|ElapsedRaw|AllocTRES|JobName|Comment\n"
NAME = "a 'b' \\ \"c\" é"


@pytest.fixture(scope="module")
def cluster():
    with slurm(PARTITIONS + OTHER, more="JobCompType=jobcomp/none\nJobSubmitPlugins=lua", files=plugin) as running:
        yield running


def plugin(folder):
    """Beside slurm.conf, before the controller starts; its table there, and read at each submission."""
    text = PLUGIN.read_text().replace("/etc/slurm/kilowait_limits", f"{folder}/limits")
    (folder / "job_submit.lua").write_text(text.replace("RELOAD_S = 60", "RELOAD_S = 0"))


def limit(cluster, *words):
    job_id = cluster.run("sbatch", "--parsable", "--hold", "--output=/dev/null", *words, "--wrap=true").strip()
    return cluster.job(job_id)["TimeLimit"]


def test_a_job_without_a_limit_gets_what_its_like_took(cluster, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KILOWAIT_ADVICE", str(tmp_path / "advice"))
    assert limit(cluster, f"--job-name={NAME}") == "01:00:00"  # no table yet
    times = [*range(61, 79), 600]  # of 19 jobs the longest holds for 95 in 100
    ends = [f"COMPLETED|0:0|2026-11-{28 + n % 3}T10:00:00" for n in range(90)]
    rows = [f"{n}|root|{ends[n]}|{s}||{NAME}|\n" for n, s in enumerate(times)]
    rows += [f"{n}|root|{ends[n]}|36000||long|\n" for n in range(30, 50)]
    rows += [f"{n}|root|{ends[n]}|60||few|\n" for n in range(60, 78)]
    (tmp_path / "jobs.txt").write_text(HEAD + "".join(rows))
    words = ["learn", "--sacct", str(tmp_path / "jobs.txt"), "--only-compare", "--limits"]
    assert main([*words, str(cluster.folder / "limits")]) == 0
    assert "2 limits" in capsys.readouterr().out
    assert limit(cluster, f"--job-name={NAME}") == "00:15:00"  # 600 s and five minutes
    assert limit(cluster, f"--job-name={NAME}", "--time=3") == "00:03:00"
    assert limit(cluster, "--job-name=long") == "02:00:00"  # what the partition allows
    assert limit(cluster, "--job-name=long", "--partition=other,main") == "02:00:00"  # what one of them allows
    assert limit(cluster, "--job-name=long", "--partition=main,long") == "10:05:00"
    assert limit(cluster, "--job-name=few") == "01:00:00"
    (cluster.folder / "limits").write_text("no table\n\0")
    assert limit(cluster, f"--job-name={NAME}") == "01:00:00"
    cluster.cancel_all()

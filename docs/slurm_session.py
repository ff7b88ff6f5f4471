"""Keep what Slurm's commands of kilowait print in docs/sessions: `python docs/slurm_session.py` (as root; a minute).

The Slurm is a real one of Debian's on this host, with four nodes whose GPUs are ordinary files; the jobs that fill it
only sleep.
"""

import os
import sys
import tempfile

from sessions import ROOT, SESSIONS, session

sys.path.insert(0, str(ROOT))
from tests.support.slurm_cluster import slurm, until

PREDICTED = "kilowait:0123456789abcdef;gpus=2;A100=3000,2000,3900"
SCRIPT = "examples/train_resnet.sbatch"


def main() -> int:
    """Fill a cluster, and keep the sessions."""
    with slurm() as cluster, tempfile.TemporaryDirectory() as folder:
        for options in (
            ["--gpus=a100:2", "--time=60", f"--comment={PREDICTED}"],
            ["--gpus=a100:2", "--time=55", f"--comment={PREDICTED}"],
            ["--gpus=a6000:2", "--time=110"],
            ["--gpus=a6000:2", "--time=120"],
            ["--gpus=a100:4", "--nodes=2", "--time=60"],
        ):
            cluster.run("sbatch", *options, "--output=/dev/null", "--job-name=others", "--wrap=sleep 600")
        until(lambda: cluster.run("squeue", "--noheader", "--states=R").count("\n") == 4)
        variables = {"SLURM_CONF": cluster.environment["SLURM_CONF"], "KILOWAIT_ADVICE": f"{folder}/advice"}
        keep("slurm_why", f"kilowait sbatch --why {SCRIPT} -- --epochs 90", **variables)
        keep(
            "slurm_sbatch",
            f"kilowait sbatch --partition=main {SCRIPT} -- --epochs 90",
            "squeue --states=PD --Format=JobID:8,Name:10,State:10,TimeLimit:12,tres-per-job:24,Comment:40",
            **variables,
        )
        keep("slurm_advise", "kilowait advise --slurm --gpus 1 --time 30", **variables)
        cluster.cancel_all()
    dump = "tests/advise/sacct_of_slurm_22.txt"
    keep("slurm_learn", f"kilowait learn --sacct {dump} --zone America/New_York --only-compare")
    keep("check", "kilowait check examples/train_resnet.py --max-kwh 0.001 --max-memory 40GB || echo exit code $?")
    return 0


def keep(name: str, *commands: str, **variables: str) -> None:
    """One session."""
    (SESSIONS / f"{name}.txt").write_text(session(*commands, **variables), encoding="utf-8")


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())

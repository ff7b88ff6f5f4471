"""Run the commands that the pages show, and keep what they print in docs/sessions/NAME.txt.

    python docs/sessions.py                   # all of them; a minute or two
    python docs/sessions.py predict_resnet    # one

Pages include these files, so no output is written by hand. Sessions with the live service are kept by
`python docs/service_session.py`, which starts one.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
SESSIONS = Path(__file__).parent / "sessions"
SIMULATE = "kilowait simulate --jobs examples/jobs.csv --gpus A100=2,A6000=4"
COMMANDS = {
    "predict_resnet": "kilowait predict examples/train_resnet.py",
    "predict_types": "kilowait predict --device H200 --device 'rtx 4090' examples/train_resnet.py -- --epochs 90",
    "predict_bert": "kilowait predict --entrypoint train.py --device A100 examples/bert -- --config config.yaml",
    "simulate_simple": f"{SIMULATE} --policy simple",
    "simulate_patient": f"{SIMULATE} --policy patient",
    "from_python": "python examples/from_python.py",
    "simulate_mine": f"{SIMULATE} --policy examples.my_policy:greenest_first",
}
REPEATABLE = ("simulate_simple", "simulate_patient", "simulate_mine")
"""What prints the same every time; a test runs these again."""


def main() -> int:
    """Run those that are named, or all."""
    for name in sys.argv[1:] or COMMANDS:
        (SESSIONS / f"{name}.txt").write_text(session(COMMANDS[name]), encoding="utf-8")
    return 0


def session(*commands: str, **variables: str) -> str:
    """What a terminal shows: each command behind a $, then what it printed. Raises when a command fails."""
    places = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": places, "COLUMNS": "110", "PYTHONPATH": str(ROOT), **variables}
    shown = ""
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command], cwd=ROOT, env=environment, stdout=-1, stderr=-2, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{command}: exit code {done.returncode}\n{done.stdout}")
        shown += f"$ {command}\n{done.stdout}"
    if str(ROOT) in shown or str(Path.home()) in shown:
        raise SystemExit(f"a path of this machine stands in what was printed:\n{shown}")
    return shown


if __name__ == "__main__":
    sys.exit(main())

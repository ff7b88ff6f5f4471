"""How long people wait for advice while the service is up: `python -m benchmarks.advice_times PROGRAM`.

    KILOWAIT_URL=http://127.0.0.1:8000 KILOWAIT_TOKEN=kw_... python -m benchmarks.advice_times train.py --json t.json

Timed are `kilowait sbatch --why` from start to end (where Slurm's commands are), `kilowait check`, which needs no
Slurm, and an admission review of Kubernetes in a process that waits for them. Each for a program that the service has
seen, and for one that nobody has: the same with another constant. Seconds by the clock; a busy machine takes longer.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.json_record import keep
from kilowait.advise.asking_service import advice_by_service
from kilowait.advise.kubernetes.admission import Admission
from kilowait.advise.kubernetes.advised_workload import Placing
from kilowait.core.errors import InputError

TYPES = ("A100", "A6000")
BATCH = "#!/bin/bash\n#SBATCH --gpus=1\npython {program}\n"
Ask = Callable[[Path], None]


def main(words: Sequence[str] | None = None) -> int:
    """Print the seconds of each, and JSON where it is asked for."""
    args = _parser().parse_args(words)
    if not os.environ.get("KILOWAIT_URL"):
        raise SystemExit("KILOWAIT_URL: set it, and KILOWAIT_TOKEN; a running service is what is timed")
    text, asks = args.program.read_text(encoding="utf-8"), _asks()
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        known = _written(Path(name), 0, text)
        for ask in asks.values():
            ask(known)  # the service has seen it, and every file of Python's is in the disk's cache
        for number in range(1, args.repeats + 1):
            for what, ask in asks.items():
                fresh = _written(Path(name), number * len(asks) + list(asks).index(what), text)
                seconds.setdefault(f"{what}, known", []).append(_timed(ask, known))
                seconds.setdefault(f"{what}, new", []).append(_timed(ask, fresh))
    times = [
        {"what": what, "median_s": median(taken), "least_s": min(taken), "most_s": max(taken), "repeats": len(taken)}
        for what, taken in seconds.items()
    ]
    for one in times:
        print(f"{one['what']:>24}: {one['median_s']:.2f} s (median; {one['least_s']:.2f} to {one['most_s']:.2f})")
    keep({"times": times, "program": args.program.name}, args.json)
    return 0


def _asks() -> dict[str, Ask]:
    """What can be asked here."""
    asks: dict[str, Ask] = {"check": _check, "admission review": _review}
    if shutil.which("sinfo"):
        return {"sbatch --why": _sbatch, **asks}
    print("no sinfo on this machine: sbatch is not timed")
    return asks


def _written(folder: Path, number: int, text: str) -> Path:
    """The program as number `number`, in a folder of its own: nobody has seen it."""
    place = folder / str(number)
    place.mkdir()
    (place / "train.py").write_text(f"{text}\n_told_apart_by = {number + time.time_ns()}\n", encoding="utf-8")
    (place / "job.sh").write_text(BATCH.format(program="train.py"), encoding="utf-8")
    return place


def _timed(ask: Ask, place: Path) -> float:
    begin_s = time.monotonic()
    ask(place)
    return time.monotonic() - begin_s


def _run(place: Path, *words: str) -> None:
    command = [sys.executable, "-m", "kilowait", *words]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)
    if done.returncode or "predicted here" in done.stdout + done.stderr:
        raise SystemExit(f"kilowait {' '.join(words)}: not answered by the service:\n{done.stdout}{done.stderr}")


def _sbatch(place: Path) -> None:
    _run(place, "sbatch", "--why", "job.sh")


def _check(place: Path) -> None:
    _run(place, "check", "train.py", "--max-kwh", "1000")


def _review(place: Path) -> None:
    """A review as the webhook answers it, without the TLS; its program is in a ConfigMap."""
    ask = partial(advice_by_service, url=os.environ["KILOWAIT_URL"], token=os.environ.get("KILOWAIT_TOKEN"))
    files = {"train.py": (place / "train.py").read_text(encoding="utf-8")}
    admission = Admission(ask=ask, read=lambda _, __: files, placing=Placing(gpu_types=TYPES))
    container = {
        "command": ["python", "/src/train.py"],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "volumeMounts": [{"name": "source", "mountPath": "/src"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "source", "configMap": {"name": "train"}}]}
    job = {"kind": "Job", "metadata": {}, "spec": {"template": {"spec": pod}}}
    request = {"uid": "1", "operation": "CREATE", "namespace": "ml", "object": job}
    response = admission.answer({"request": request})["response"]
    if "patch" not in response:
        raise InputError(f"not predicted: {response}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, metavar="PROGRAM", help="a program of one file")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="of each (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""How long people wait for advice while the service is up: `python -m benchmarks.advice_times PROGRAM`.

    KILOWAIT_URL=http://127.0.0.1:8000 KILOWAIT_TOKEN=kw_... python -m benchmarks.advice_times train.py --json t.json

Timed are `kilowait sbatch --why` from start to end (where Slurm's commands are), `kilowait check`, which needs no
Slurm, and an admission review of Kubernetes, over HTTPS by a new connection, which the webhook answers. Each for a
program that the service has seen, and for one that nobody has: the same with another constant. Seconds by the clock; a
busy machine takes longer. `python docs/advice_times.py` starts a service and a Slurm for it, and keeps the record.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from threading import Thread

import requests

from benchmarks.json_record import keep
from kilowait.advise.asking_service import advice_by_service
from kilowait.advise.kubernetes.admission import Admission
from kilowait.advise.kubernetes.admission_server import AdmissionServer
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
    text = args.program.read_text(encoding="utf-8")
    seconds: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name, webhook(Path(name)) as review:
        asks = _asks(review)
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


def _asks(review: Ask) -> dict[str, Ask]:
    """What can be asked here."""
    asks: dict[str, Ask] = {"check": _check, "admission review": review}
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


@contextmanager
def webhook(folder: Path) -> Iterator[Ask]:
    """What has the webhook review a Job whose program is in a ConfigMap, as the API server would."""
    certificate, key = folder / "tls.crt", folder / "tls.key"
    options = ["-x509", "-nodes", "-newkey", "rsa:2048", "-days", "2", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *options, *names], check=True, capture_output=True)
    ask = partial(advice_by_service, url=os.environ["KILOWAIT_URL"], token=os.environ.get("KILOWAIT_TOKEN"))
    admission = Admission(ask=ask, read=_config_map, placing=Placing(gpu_types=TYPES))
    server = AdmissionServer(("127.0.0.1", 0), admission, (certificate, key), budget_s=60.0)
    Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield partial(_review, f"https://localhost:{server.server_address[1]}/", str(certificate))
    finally:
        server.shutdown()
        server.server_close()


def _config_map(_: str, name: str) -> dict[str, str]:
    """One that is called as the folder of its program."""
    return {"train.py": Path(name, "train.py").read_text(encoding="utf-8")}


def _review(url: str, certificate: str, place: Path) -> None:
    container = {
        "command": ["python", "/src/train.py"],
        "resources": {"limits": {"nvidia.com/gpu": 1}},
        "volumeMounts": [{"name": "source", "mountPath": "/src"}],
    }
    pod = {"containers": [container], "volumes": [{"name": "source", "configMap": {"name": str(place)}}]}
    job = {"kind": "Job", "metadata": {}, "spec": {"template": {"spec": pod}}}
    request = {"uid": "1", "operation": "CREATE", "namespace": "ml", "object": job}
    answer = requests.post(url, json={"request": request}, verify=certificate, timeout=90)
    if "patch" not in answer.json().get("response", {}):
        raise InputError(f"not predicted: {answer.text}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", type=Path, metavar="PROGRAM", help="a program of one file")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="of each (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    return parser


if __name__ == "__main__":
    sys.exit(main())

"""A Ray cluster whose head dies and comes back: its GCS keeps what it knows in Redis, the history is PostgreSQL.

    python -m benchmarks.head_loss

A head and a worker node are started with `ray start`. While jobs run on the worker, the head's raylet and its GCS are
killed -9; after AWAY_S a head is started again with the same Redis. Said are the seconds until the scheduler answers
again, how many jobs were lost, how many attempts they had, and how many ran twice. Needs `redis-server` and PostgreSQL.
"""

import argparse
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import ray

from benchmarks.free_ports import free_ports
from benchmarks.json_record import keep
from benchmarks.own_postgres import OwnPostgres
from benchmarks.pretended_cluster import APART, EQUAL, MARK, OVER, marks_in
from benchmarks.soak import run_twice
from kilowait.core.jobs import Job
from kilowait.core.submission import Program, Request, Retry
from serve.runner.gang import NAMESPACE
from serve.scheduler.deploy import deploy
from serve.scheduler.settings import SchedulerSettings, default_options

AWAY_S = 8.0
LONG_S, SHORT_S = 60.0, 5.0
"""What jobs take that run when the head dies, and those that wait behind them."""
BOARDS = 4
OBJECTS = ("--object-store-memory", "80000000", "--disable-usage-stats")


def main(argv: Sequence[str] | None = None) -> int:
    """Kill the head and say what became of the jobs; 1 if one was lost or ran twice."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.head_loss", description=__doc__)
    parser.add_argument("--json", type=Path, help="also write all numbers here")
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    if args.child:
        _drive(*args.child)
        return 0
    with tempfile.TemporaryDirectory(prefix="kilowait-head-") as name:
        found = _lost_head(Path(name))
    keep(found, args.json)
    for what, value in found.items():
        print(f"{what:24}{value}")
    return 1 if found["lost"] or found["run_twice"] else 0


def _lost_head(folder: Path) -> dict[str, Any]:
    folder.chmod(0o755)  # PostgreSQL runs as another user
    (folder / "database").mkdir()
    database, (port, redis_port) = OwnPostgres(folder / "database"), free_ports(2)
    words = ["redis-server", "--port", str(redis_port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    redis = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    environment = {
        **os.environ,
        "RAY_REDIS_ADDRESS": f"127.0.0.1:{redis_port}",
        "RAY_external_storage_namespace": folder.name,
        "RAY_gcs_rpc_server_reconnect_timeout_s": "180",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    head = ("--head", "--port", str(port), "--num-cpus", "1", "--num-gpus", "0", "--include-dashboard", "false")
    try:
        _ray(folder / "first", environment, *head)
        first = _of_head(port)
        boards = ("--num-gpus", str(BOARDS), "--resources", '{"accelerator_type:A100": 1}')
        _ray(folder / "first", environment, "--address", f"{_address()}:{port}", "--num-cpus", "4", *boards)
        asked = database.url, str(folder / "marks"), f"{_address()}:{port}"
        ids = _told(environment, *asked, "submit")
        for process in first:
            process.send_signal(signal.SIGKILL)
        time.sleep(AWAY_S)
        began_s = time.monotonic()
        _ray(folder / "second", environment, *head)
        answer = _told(environment, *asked, json.dumps(ids))
        rows, marks = answer["rows"], marks_in(folder / "marks")
    finally:
        _end_all(str(port))
        redis.kill()
        database.close()
    return {
        "jobs": len(ids),
        "running_when_it_died": BOARDS,
        "head_away_s": AWAY_S,
        "answers_after_s": round(answer["at_s"] - began_s, 1),
        "lost": len(ids) - sum(state == "finished" for state, _ in rows),
        "attempts": sum(attempts for _, attempts in rows),
        "run_twice": len(run_twice(marks)),
    }


def _drive(url: str, marks: str, address: str, what: str) -> None:
    """In a process of its own, connected to the cluster: submit the jobs, or wait for those of these ids."""
    ray.init(address=address, namespace=NAMESPACE, log_to_driver=False)
    policy = {"policy": "simple", "policy_options": default_options("simple")}
    scheduler = deploy(SchedulerSettings(url=url, look_s=0.5, grace_s=2.0, isolation=APART, **policy))

    def ask(method: str, *arguments: Any) -> Any:
        return ray.get(getattr(scheduler, method).remote(*arguments), timeout=600)

    if what == "submit":
        times = [LONG_S] * BOARDS + [SHORT_S] * BOARDS
        ids = [ask("submit", _request(number, marks, seconds)) for number, seconds in enumerate(times)]
        while sum(word == "begins" for *_, word in marks_in(Path(marks))) < BOARDS:
            time.sleep(0.2)
        print(json.dumps(ids))
        return
    ask("status")
    at_s, rows = time.monotonic(), list[Mapping[str, Any]]()
    while not rows or any(row["state"] not in OVER for row in rows):
        time.sleep(0.5)
        rows = [ask("job", job_id) for job_id in json.loads(what)]
    print(json.dumps({"at_s": at_s, "rows": [[row["state"], len(row["attempts"])] for row in rows]}))


def _request(number: int, marks: str, seconds: float) -> Request:
    program = Program(files={"m.py": MARK}, entrypoint="m.py", arguments=(marks, str(seconds)))
    job = Job(job_id="", submit_s=0.0, user="ada")
    retry = Retry(max_attempts=5)
    return Request(job=job, predictions=EQUAL, program=program, client_key=f"head-{number}", retry=retry)


def _told(environment: Mapping[str, str], *words: str) -> Any:
    """What `_drive` printed last."""
    command = [sys.executable, "-m", "benchmarks.head_loss", "--child", *words]
    done = subprocess.run(command, env=dict(environment), stdout=subprocess.PIPE, text=True, check=True, timeout=900)
    return json.loads(done.stdout.splitlines()[-1])


def _ray(folder: Path, environment: Mapping[str, str], *words: str) -> None:
    """`ray start` with its files in a folder of its own: the second head is another machine's, as it were."""
    folder.mkdir(exist_ok=True)
    command = [str(Path(sys.executable).with_name("ray")), "start", *words, *OBJECTS]
    subprocess.run(command, env={**environment, "RAY_TMPDIR": str(folder)}, stdout=subprocess.DEVNULL, check=True)


def _of_head(port: int) -> list[psutil.Process]:
    """The raylet and the GCS of the head, while there is no other node."""
    return [process for process in _ours(str(port)) if process.name() in ("raylet", "gcs_server")]


def _ours(port: str) -> list[psutil.Process]:
    found = list[psutil.Process]()
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if any(word.endswith(port) for word in process.cmdline()) and process.pid != os.getpid():
                found.append(process)
    return found


def _end_all(port: str) -> None:
    """End what was started for the cluster of this port, and what that started."""
    for process in _ours(port):
        with suppress(psutil.Error):
            for below in (*process.children(recursive=True), process):
                below.kill()


def _address() -> str:
    return str(ray.util.get_node_ip_address())


if __name__ == "__main__":
    sys.exit(main())

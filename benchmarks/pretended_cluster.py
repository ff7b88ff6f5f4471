"""A Ray cluster on this machine whose nodes say that they have GPUs: for the tests of the live service and its soak.

Nothing measured on it is a measurement: the service marks all of it as pretended.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import ray
from ray.cluster_utils import Cluster

from kilowait.core.closed_ray import closed_ray
from kilowait.core.jobs import Job, Prediction
from kilowait.core.submission import Program, Request, Retry
from kilowait.history.lease import LEASE_S
from kilowait.isolation.modes import IsolationSettings
from kilowait.live.job_outputs import OutputSettings
from serve.runner.gang import NAMESPACE
from serve.scheduler.deploy import deploy
from serve.scheduler.ray_nodes import pretended_node
from serve.scheduler.settings import SchedulerSettings, default_options

OVER = frozenset({"finished", "failed", "cancelled"})
MEMORY_BYTES = 80_000_000

MARK = """
import os, sys, time
rank = os.environ.get("NODE_RANK", "0")
attempt = os.environ["KILOWAIT_ATTEMPT"] + ("" if rank == "0" else "/" + rank)
who = os.environ["KILOWAIT_JOB_ID"], attempt, str(os.getpid())
def mark(word):
    with open(sys.argv[1], "a") as file:
        file.write(" ".join((*who, word)) + "\\n")
def alive(pid):
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    return True
mark("begins")
for line in open(sys.argv[1]):
    job, attempt, pid, word = line.split()
    beside = attempt != who[1] and attempt.split("/")[0] == who[1].split("/")[0]
    if job == who[0] and pid != who[2] and not beside and alive(pid):
        mark("overlaps")
time.sleep(float(sys.argv[2]))
mark("ends")
"""
"""A program that says in a file when it begins and ends, and when an earlier attempt of it still lives.

It runs on every node of a job of several: from the second node on its attempt is written 1/1, 1/2 and so on.
"""

APART = IsolationSettings(mode="none")
"""What marks itself tells by its process number whether another lives: only where all see the same numbers."""

EQUAL = {name: Prediction(runtime_s=10.0, energy_kwh=1.0) for name in ("A100", "A6000")}


def marks_in(file: Path, job_id: str = "") -> list[tuple[str, str, str]]:
    """(job, attempt, word) of the marks in a file, in order, of one job or of all; none where there is no file."""
    lines = file.read_text().splitlines() if file.exists() else []
    fields = [line.split() for line in lines if line.startswith(job_id)]
    return [(job, attempt, word) for job, attempt, _, word in fields]


class PretendedCluster:
    """Nodes of pretended GPUs, each (Ray's word for its type, GPUs), and the scheduler over them.

    It ends what it started, and nothing else. Marks of jobs are lines "job attempt pid word".
    """

    def __init__(
        self,
        folder: Path,
        policy: str = "simple",
        *,
        dashboard: bool = False,
        unknown_gpus: int = 0,
        grow_to: Mapping[str, int] | None = None,
        isolation: IsolationSettings = APART,
        url: str = "",
        lease_s: float = LEASE_S,
        standby: bool = False,
        outputs: str = "",
        key_file: str = "",
        look_s: float = 0.2,
        **nodes: tuple[str, int],
    ) -> None:
        self.marks = folder / "marks"
        head = {"num_cpus": 1, "include_dashboard": dashboard, "object_store_memory": MEMORY_BYTES}
        head |= {"include_log_monitor": False, "no_monitor": True}  # nobody reads logs here, nothing starts nodes
        head["num_gpus"] = unknown_gpus  # of a type that nobody says
        head["_system_config"] = {"health_check_period_ms": 500, "health_check_initial_delay_ms": 1000}  # quick to see
        self._closed = ExitStack()
        self._closed.enter_context(closed_ray(ray, folder / "kilowait.ray-token"))
        self.ray = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = {name: self.add(ray_type, gpus) for name, (ray_type, gpus) in nodes.items()}
        ray.init(address=self.ray.address, namespace=NAMESPACE, log_to_driver=False)
        self.url = url or f"sqlite:///{folder}/kilowait.db"
        quick = {"look_s": look_s, "grace_s": 2.0, "isolation": isolation, "lease_s": lease_s, "standby": standby}
        quick |= {"outputs": OutputSettings(url=outputs), "secrets_key_file": key_file}
        settings = SchedulerSettings(
            url=self.url, policy=policy, policy_options=default_options(policy), grow_to=grow_to or {}, **quick
        )
        self.scheduler = deploy(settings)

    def add(self, ray_type: str, gpus: int) -> Any:
        """Add a node with GPUs of the type that Ray calls `ray_type`."""
        return self.ray.add_node(**pretended_node(ray_type, gpus, memory_bytes=MEMORY_BYTES))

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call a method of the scheduler, which may be restarting."""
        return ray.get(getattr(self.scheduler, method).remote(*arguments), timeout=600)

    def submit(
        self,
        key: str | None,
        seconds: float = 0.0,
        *,
        program: Program | None = None,
        predictions: Mapping[str, Prediction] | None = None,
        retry: Retry | None = None,
        **fields: Any,
    ) -> str:
        """A job that marks its begin and end `seconds` later, where it is not given another program."""
        marking = Program(files={"m.py": MARK}, entrypoint="m.py", arguments=(str(self.marks), str(seconds)))
        request = Request(
            job=Job(job_id="", submit_s=0.0, **{"user": "ada", **fields}),
            predictions=predictions or EQUAL,
            program=program or marking,
            client_key=key,
            retry=retry or Retry(),
        )
        return str(self.ask("submit", request))

    def marked(self, job_id: str = "") -> list[tuple[str, str, str]]:
        """(job, attempt, word) of what the programs said, in order, of one job or of all."""
        return marks_in(self.marks, job_id)

    def until(self, what: Callable[[], bool], timeout_s: float = 600.0) -> None:
        """Wait until a condition holds."""
        deadline_s = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {self.ask('status')}"
            time.sleep(0.05)

    def over(self, *job_ids: str, timeout_s: float = 600.0) -> list[Mapping[str, Any]]:
        """The rows of these jobs once all are over."""
        rows: list[Mapping[str, Any]] = []

        def all_over() -> bool:
            for job_id in job_ids[len(rows) :]:  # so that thousands that are over already cost nobody anything
                if (row := self.ask("job", job_id))["state"] not in OVER:
                    return False
                rows.append(row)
            return True

        self.until(all_over, timeout_s)
        return rows

    def kill_scheduler(self) -> int:
        """kill -9 the scheduler; returns the process id that it had."""
        pid = int(self.ask("status")["pid"])
        os.kill(pid, signal.SIGKILL)
        return pid

    def lose(self, name: str) -> None:
        """kill -9 a node."""
        self.ray.remove_node(self.nodes.pop(name), allow_graceful=False)

    def close(self) -> None:
        """End everything that was started here."""
        ray.shutdown()
        self.ray.shutdown()
        self._closed.close()

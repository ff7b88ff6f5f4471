"""A Ray cluster on this machine whose nodes say that they have GPUs, for tests of the live service and its soak."""

import os
import signal
import time
from pathlib import Path

import ray
from live_world import request, seen
from ray.cluster_utils import Cluster

from serve.inventory import NAMESPACE, Settings, deploy

OVER = {"finished", "failed", "cancelled"}
MEMORY_BYTES = 80_000_000

MARK = """
import os, sys, time
with open(sys.argv[1], "a") as file:
    file.write(os.environ["KILOWAIT_JOB_ID"] + " " + os.environ["KILOWAIT_ATTEMPT"] + " begins\\n")
time.sleep(float(sys.argv[2]))
with open(sys.argv[1], "a") as file:
    file.write(os.environ["KILOWAIT_JOB_ID"] + " " + os.environ["KILOWAIT_ATTEMPT"] + " ends\\n")
"""
"""A program that says in a file when it begins and ends."""


class PretendedCluster:
    """Nodes of pretended GPUs and the scheduler over them. Ends what it started, and nothing else."""

    def __init__(self, folder: Path, policy: str = "simple", **nodes: tuple[str, int]) -> None:
        self.marks = folder / "marks"
        head = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": MEMORY_BYTES}
        head["_system_config"] = {
            "health_check_period_ms": 500,
            "health_check_initial_delay_ms": 1000,
        }  # for quick tests
        self.ray = Cluster(initialize_head=True, head_node_args=head)
        self.nodes = {name: self.add(ray_type, gpus) for name, (ray_type, gpus) in nodes.items()}
        ray.init(address=self.ray.address, namespace=NAMESPACE, log_to_driver=False)
        url = f"sqlite:///{folder}/kilowait.db"
        options = {"kappa_relative": 1.0} if policy == "value" else {}
        settings = Settings(url=url, policy=policy, policy_options=options, look_s=0.2, grace_s=2.0)
        self.scheduler = deploy(settings)

    def add(self, ray_type: str | None, gpus: int) -> object:
        """One more node, of a type in Ray's words."""
        resources = {f"accelerator_type:{ray_type}": 1} if ray_type else {}
        return self.ray.add_node(
            num_cpus=1, num_gpus=gpus, resources=resources, object_store_memory=MEMORY_BYTES, wait=True
        )

    def ask(self, method: str, *arguments: object) -> object:
        """A word with the scheduler, which may be restarting."""
        return ray.get(getattr(self.scheduler, method).remote(*arguments), timeout=120)

    def submit(self, key: str, seconds: float = 0.0, **fields: object) -> str:
        """A job that marks its begin and end, as fast on A100 as on A6000."""
        fields.setdefault("predictions", seen(A100=(10, 1), A6000=(10, 1)))
        asked = request(key, text=MARK, **fields)
        program = (
            asked.program if "program" in fields else _with_arguments(asked.program, str(self.marks), str(seconds))
        )
        return str(self.ask("submit", type(asked)(**{**_fields(asked), "program": program})))

    def marked(self) -> list[str]:
        """What the programs said, in order."""
        return self.marks.read_text().splitlines() if self.marks.exists() else []

    def until(self, what: object, timeout_s: float = 60.0) -> None:
        """Wait until a condition holds."""
        deadline_s = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {self.ask('status')}"
            time.sleep(0.05)

    def over(self, *job_ids: str) -> list[dict]:
        """The rows of these jobs once all are over."""
        rows: list[dict] = []

        def all_over() -> bool:
            rows[:] = [self.ask("job", job_id) for job_id in job_ids]
            return all(row["state"] in OVER for row in rows)

        self.until(all_over)
        return rows

    def kill_scheduler(self) -> int:
        """kill -9 the scheduler; returns the process id that it had."""
        pid = self.ask("status")["pid"]
        os.kill(pid, signal.SIGKILL)
        return pid

    def lose(self, name: str) -> None:
        """kill -9 a node."""
        self.ray.remove_node(self.nodes.pop(name), allow_graceful=False)

    def close(self) -> None:
        """End everything that was started here."""
        ray.shutdown()
        self.ray.shutdown()


def _with_arguments(program, *arguments):
    return type(program)(files=program.files, entrypoint=program.entrypoint, arguments=arguments)


def _fields(asked):
    return {name: getattr(asked, name) for name in asked.__struct_fields__}

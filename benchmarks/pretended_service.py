"""The whole live service over HTTP on a pretended cluster, for the soak: its replicas can be killed like its nodes."""

import os
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from ray import serve
from ray._private import state  # the process of an actor stands nowhere else

from benchmarks.free_ports import free_ports
from benchmarks.pretended_cluster import MARK, PretendedCluster
from kilowait.client.client import Client
from kilowait.core.errors import ServiceError
from kilowait.history.secrecy.key_file import new_key
from kilowait.history.store import Store
from kilowait.history.tokens import Role, create
from serve.app import Options, app

APPLICATION = "kilowait"
T = TypeVar("T")
REPLICAS = {"ingress": "scheduler", "predictor": "PredictorReplica"}
"""What a person calls them, and the names of their deployments."""

AGAIN_S = 0.5


class PretendedService:
    """A cluster of these nodes (see `PretendedCluster`), and Serve's two deployments over its scheduler and history.

    `unanswered` counts the submissions whose answer was lost, by what the client said of it.
    """

    def __init__(self, folder: Path, policy: str, url: str = "", **nodes: tuple[str, int]) -> None:
        outputs, key_file = str(folder / "outputs"), folder / "secrets.key"
        new_key(key_file)
        kept = {"outputs": outputs, "key_file": str(key_file)}
        self.world = PretendedCluster(folder, policy, url=url, **kept, **nodes)  # type: ignore[arg-type]
        self.unanswered: Counter[str] = Counter()
        store = Store(self.world.url)
        self.token = create(store, "ada", Role.OPERATE, time.time())
        store.close()
        (port,) = free_ports(1)
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        options = Options(
            database=self.world.url, policy=policy, dry_run_budget_s=0, outputs=outputs, secrets_key_file=str(key_file)
        )  # the programs only wait
        serve.run(app(options), name=APPLICATION)
        self.address = f"http://127.0.0.1:{port}"
        self.client().cluster()

    def client(self) -> Client:
        """A new client: each thread needs its own."""
        return Client(self.address, self.token, patience_s=120.0)

    def submit(self, client: Client, key: str, seconds: float, *, before: str = "", **fields: Any) -> str:
        """The id of a job of its own text that marks its begin and end; asked for by its key until there is one.

        The lines `before` go first; `fields` are further ones of the submission.
        """
        job = self._job(key, seconds, before, fields)
        return str(self._accepted(lambda: client.submit(job, key)["job_id"]))

    def submit_array(
        self, client: Client, key: str, seconds: float, tasks: int, *, before: str = "", **fields: Any
    ) -> list[str]:
        """As `submit`: the ids of so many tasks."""
        array = {**self._job(key, seconds, before, fields), "tasks": f"0-{tasks - 1}"}
        return list(self._accepted(lambda: client.submit_array(array, key)["job_ids"]))

    def _job(self, key: str, seconds: float, before: str, fields: Mapping[str, Any]) -> Mapping[str, Any]:
        marks = [str(self.world.marks), str(seconds)]
        return {"source": f"# {key}\n{before}{MARK}", "arguments": marks, **fields}

    def _accepted(self, asked: Callable[[], T]) -> T:
        while True:
            try:
                return asked()
            except ServiceError as error:  # whether it was accepted is not known, or there is no room for it now
                self.unanswered[str(error).replace(self.address, "URL")[:90]] += 1
                time.sleep(AGAIN_S)

    def replicas(self, what: str) -> list[int]:
        """The processes of the replicas of "ingress" or "predictor" that live."""
        name = f"SERVE_REPLICA::{APPLICATION}#{REPLICAS[what]}#"
        actors = state.actors(actor_state_name="ALIVE").values()
        return [actor["Pid"] for actor in actors if actor["Name"].startswith(name)]

    def kill_replica(self, what: str) -> int:
        """kill -9 a replica, once there is one; returns the process id that it had."""
        self.world.until(lambda: bool(self.replicas(what)), timeout_s=300.0)
        pid = self.replicas(what)[0]
        os.kill(pid, signal.SIGKILL)
        return pid

    def close(self) -> None:
        """End everything that was started here."""
        serve.shutdown()
        self.world.close()


def jobs_of(service: PretendedService) -> list[str]:
    """The ids of all jobs in the history."""
    store = Store(service.world.url)
    try:
        return [str(row["job_id"]) for row in store.jobs(limit=1_000_000)]
    finally:
        store.close()

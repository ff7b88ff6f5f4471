"""The whole service on a Ray cluster of this machine whose nodes say that they have GPUs, spoken to over HTTP."""

import socket
import time
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import ray
import requests
from ray import serve
from ray.cluster_utils import Cluster

from kilowait.core.closed_ray import closed_ray
from kilowait.history.store import Store
from kilowait.history.tokens import Role, create
from serve.app import Options, app
from serve.desk.predictor_replica import PredictorReplica
from serve.runner.gang import NAMESPACE
from serve.scheduler.ray_nodes import pretended_node

MEMORY_BYTES = 80_000_000
OVER = {"finished", "failed", "cancelled"}
ALONE = {"include_dashboard": False, "include_log_monitor": False, "no_monitor": True}
"""What Ray starts on a head node and nobody here asks: each is a process."""
ONE = PredictorReplica.options(autoscaling_config={"min_replicas": 1, "max_replicas": 1})
"""A second predictor would load a language model of its own, and shorten the queues that tests make."""


class ServiceWorld:
    """A pretended node for each type in Ray's words, the service over them, and tokens for ada, bob and an operator.

    Jobs and tests both see the folder `shared`.
    """

    def __init__(self, folder, nodes, **options):
        self.shared = Path(folder, "shared")
        self.shared.mkdir()
        self.shared.chmod(0o777)  # jobs have users of their own
        options = {"mounts": [f"{self.shared}:rw"], **options}
        self._closed = ExitStack()
        self._closed.enter_context(closed_ray(ray, Path(folder, "kilowait.ray-token")))
        head, *others = [pretended_node(*node, memory_bytes=MEMORY_BYTES) for node in nodes.items()]
        self.cluster = Cluster(initialize_head=True, head_node_args={**head, **ALONE, "num_cpus": 3})
        try:
            for node in others:
                self.cluster.add_node(**node)
            self._start(folder, sum(nodes.values()), options)
        except BaseException:  # or every world after this one would find it there
            self.close()
            raise

    def _start(self, folder, gpus, options):
        ray.init(address=self.cluster.address, namespace=NAMESPACE, log_to_driver=False)
        self.url = f"sqlite:///{folder}/kilowait.db"
        store = Store(self.url)
        roles = {"reader": Role.READ, "ada": Role.SUBMIT, "bob": Role.SUBMIT, "operator": Role.OPERATE}
        self.tokens = {owner: create(store, owner, role, time.time()) for owner, role in roles.items()}
        store.close()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": self.port})
        with patch("serve.app.PredictorReplica", ONE):
            application = app(Options(database=self.url, **options))
        serve.run(application, name="kilowait")
        self.address = f"http://127.0.0.1:{self.port}"
        self.until(lambda: self.call("GET", "/v1/health").status_code == 200)
        self.until(lambda: sum(t["free"] for t in self.get("/v1/cluster")["types"]) == gpus)

    def call(self, method, path, who="ada", **more):
        """A request; `who` None for no token."""
        headers = {**({"Authorization": f"Bearer {self.tokens[who]}"} if who else {}), **more.pop("headers", {})}
        return requests.request(method, self.address + path, headers=headers, timeout=300, **more)

    def get(self, path, who="ada", **more):
        """The JSON of a GET that succeeds."""
        answer = self.call("GET", path, who, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def submit(self, source, who="ada", **more):
        """The id of a job that is accepted."""
        answer = self.call("POST", "/v1/jobs", who, json={"source": source, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()["job_id"]

    def over(self, job_id, who="ada"):
        """The job once it is over."""
        found = {}

        def is_over():
            found.update(self.get(f"/v1/jobs/{job_id}", who))
            return found["state"] in OVER

        self.until(is_over)
        return found

    def until(self, what, timeout_s=600, every_s=0.5):
        """Wait until a condition holds."""
        deadline_s = time.monotonic() + timeout_s
        while not what():
            assert time.monotonic() < deadline_s, f"not within {timeout_s} s"
            time.sleep(every_s)

    def close(self):
        """End everything that was started here."""
        serve.shutdown()
        ray.shutdown()
        self.cluster.shutdown()
        self._closed.close()

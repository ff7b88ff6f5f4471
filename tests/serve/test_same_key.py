"""The same key is the same job only where everything that was asked for is the same; what is predicted may differ."""

import asyncio
from unittest.mock import Mock

import pytest

from kilowait.core.errors import InputError
from kilowait.core.submission import Program, Retry
from kilowait.history.bases import Base
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from kilowait.program.resources import GpuRequest
from serve.desk.desk import Desk
from serve.scheduler.settings import SchedulerSettings
from tests.support.live_world import request, seen


class Scheduler:
    """The actor over a controller of four A."""

    def __init__(self, url):
        self.controller = Controller(Store(url), simple(), order=("A",))
        self.controller.node_joined("n", "A", 4, 0.0)
        self.submit_all, self.status = Mock(remote=self._submit_all), Mock(remote=self._status)
        self._url = url

    async def _submit_all(self, requests):
        return self.controller.submit_all(requests, 1.0)

    async def _status(self):
        return {"settings": SchedulerSettings(url=self._url)}


@pytest.fixture
def submitted(tmp_path):
    """Submit a request by the key `once`; returns the job's id."""
    scheduler = Scheduler(f"sqlite:///{tmp_path}/kilowait.db")

    async def one(asked):
        desk = Desk(scheduler, Mock())
        base = Base(content_hash="", base_version="x", milli=1000, by_type=asked.predictions, vector=None)
        asks = GpuRequest(gpus=asked.job.gpus, gpu_types=None, evidence=())
        try:
            return (await desk.accepted((asked, asks, [], base), asked.client_key)).job_id
        finally:
            if desk._store is not None:
                desk._store.close()

    yield lambda **fields: asyncio.run(one(request("once", **fields)))
    scheduler.controller.store.close()


def program(**fields):
    return Program(**{"files": {"main.py": "pass"}, "entrypoint": "main.py", **fields})


OTHERS = {
    "gpus": {"gpus": 2},
    "gpu_milli": {"gpu_milli": 500},
    "one_node": {"one_node": True},
    "gpu_types": {"allowed": frozenset({"A"})},
    "memory_bytes": {"memory_bytes": 1},
    "priority": {"priority": 5},
    "max_attempts": {"retry": Retry(max_attempts=1)},
    "exit_codes": {"retry": Retry(exit_codes=(1,))},
    "labels": {"labels": {"a": "b"}},
    "deadline": {"labels": {"kilowait/deadline": "2030-01-01T00:00:00+00:00"}},
    "text": {"text": "pass  # other"},
    "arguments": {"program": program(arguments=("--steps", "1"))},
    "environment": {"program": program(environment={"A": "1"})},
    "timeout_s": {"program": program(timeout_s=9.0)},
    "entrypoint": {"program": program(files={"main.py": "pass", "b.py": ""}, entrypoint="b.py")},
}


@pytest.mark.parametrize("field", OTHERS)
def test_another_value_of_any_field_is_a_conflict(submitted, field):
    job_id = submitted()
    with pytest.raises(InputError, match="key 'once'"):
        submitted(**OTHERS[field])
    assert submitted() == job_id


def test_the_same_is_the_same_job_whatever_is_predicted_now(submitted):
    assert submitted() == submitted(predictions=seen(A=(99, 9)))

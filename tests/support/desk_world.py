"""The HTTP service over a real history, without Ray: a scheduler that only says how it is, and no predictor."""

import time
from unittest.mock import Mock

from starlette.testclient import TestClient

from kilowait.history.store import Store
from kilowait.history.tokens import Role, create
from serve.api.routes import build
from serve.desk.desk import Desk
from serve.scheduler.settings import SchedulerSettings


class Remote:
    """A method of an actor: what it answers, or raises."""

    def __init__(self, answer):
        self.answer = answer

    async def remote(self, *arguments):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class DeskWorld:
    """`client` speaks to the service; `tokens` by owner; `status` is what the scheduler says of itself."""

    def __init__(self, folder):
        self.url = f"sqlite:///{folder}/kilowait.db"
        self.store = Store(self.url)
        roles = {"reader": Role.READ, "ada": Role.SUBMIT, "operator": Role.OPERATE}
        self.tokens = {owner: create(self.store, owner, role, time.time()) for owner, role in roles.items()}
        self.status = {"settings": SchedulerSettings(url=self.url), "problem": None, "nodes": [], "unknown": {}}
        self.scheduler = Mock(status=Remote(self.status), power=Remote({}), decision_times=Remote((0, [])))
        forecasts = Mock(problem=Mock(return_value=None))  # nothing is wrong with the predictor
        self.desk = Desk(self.scheduler, forecasts)
        self.client = TestClient(build(self.desk, Mock()), raise_server_exceptions=False)

    def call(self, method, path, who="ada", **more):
        """A request; `who` None for no token."""
        headers = {**({"Authorization": f"Bearer {self.tokens[who]}"} if who else {}), **more.pop("headers", {})}
        return self.client.request(method, path, headers=headers, **more)

    def __enter__(self):
        self.client.__enter__()
        return self

    def __exit__(self, *_):
        self.client.__exit__(None, None, None)
        if self.desk._store is not None:
            self.desk._store.close()
        self.store.close()

"""The HTTP service on a port, over a real history, without Ray: jobs end as soon as they begin, all take 10 s."""

import logging
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import uvicorn

from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.core.submission import Ending, Log
from kilowait.history.secrecy.key_file import new_key
from kilowait.history.store import Store
from kilowait.history.tokens import Role, create
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from serve.api.routes import build
from serve.api.wrong_tokens import WrongTokens
from serve.desk.desk import Desk
from serve.desk.forecasts import Forecasts
from serve.desk.learner import Learner
from serve.desk.predictor_replica import Told
from serve.scheduler.ray_nodes import NodeFollower, SeenNode
from serve.scheduler.settings import SchedulerSettings

NODES = ("n1", "n2")


class Actor:
    """Its methods are those of an object, asked as an actor's are."""

    def __init__(self, behind):
        self._behind = behind

    def __getattr__(self, name):
        return Method(getattr(self._behind, name))


class Method:
    """A method of an actor."""

    def __init__(self, call):
        self._call = call

    async def remote(self, *arguments):
        return self._call(*arguments)


class Scheduler:
    """What the actor of that name does, with a controller that is the real one and jobs that are not."""

    def __init__(self, url, key_file):
        self._key_file = key_file
        self._url, self._controller = url, Controller(Store(url), simple(), order=("A100",))
        self._follower = NodeFollower(self._controller)
        for node in NODES:
            self._controller.node_joined(node, "A100", 8, time.time(), 40_000_000_000)
            self._follower.nodes[node] = SeenNode(
                node=node, address="::1", gpu_type="A100", gpus=8, taken=0.0, draining=False
            )

    def status(self):
        settings = SchedulerSettings(url=self._url, policy="simple", policy_options={}, secrets_key_file=self._key_file)
        return {"settings": settings, "problem": None, "nodes": list(self._follower.nodes.values()), "unknown": {}}

    def submit_all(self, requests):
        answers = self._controller.submit_all(requests, time.time())
        self._run_all()
        return answers

    def submit_array(self, asked):
        array = self._controller.submit_array(asked, time.time())
        self._run_all()
        return array

    def _run_all(self):
        while placed := self._controller.decide(time.time()):
            for one in placed:
                self._run(one)

    def _run(self, attempt):
        who = attempt.job_id, attempt.attempt, attempt.token
        self._controller.attempt_started(*who, time.time())
        logs = (Log(rank=0, first_byte=3, data="\xe9\n".encode()),)
        self._controller.attempt_finished(*who, Ending(exit_code=0, logs=logs), time.time())

    def cancel(self, job_id):
        self._controller.cancel(job_id, time.time())

    def cancel_all(self, job_ids):
        outcomes = self._controller.cancel_all(job_ids, time.time())
        return {job_id: str(why) for job_id, why in outcomes.items() if isinstance(why, InputError)}

    def drain(self, node):
        self._follower.drain(node, time.time())

    def undrain(self, node):
        self._follower.undrain(node, time.time())

    def order(self, order):
        self._controller.ordered(order, time.time())

    def log(self, job_id, rank, offset, limit):
        attempts = self._controller.store.attempts(job_id)
        kept = self._controller.store.log(job_id, attempts[-1]["attempt"], rank) if attempts else None
        if kept is None:
            return offset, b""
        begin = max(offset, kept.first_byte)
        return begin, kept.data[begin - kept.first_byte :][:limit]

    def power(self):
        return {}

    def price(self):
        return None

    def decision_times(self):
        return 2, [0.1, 0.2]

    def close(self):
        self._controller.store.close()


class Predictor:
    """Whatever it is asked, 10 s."""

    def version(self):
        return "probe"

    def predict(self, question):
        by_type = {gpu_type: Prediction(runtime_s=10.0, energy_kwh=0.5) for gpu_type in question.gpu_types}
        return Told(version="probe", predictions=by_type, vector=np.zeros(4, np.float32), memory={}, dry_run="whole")


class KeepingDesk(Desk):
    """Some tokens are good for ever: those who ask may revoke any, their own too, and would be told nothing more."""

    def __init__(self, scheduler, forecasts, tokens):
        super().__init__(scheduler, forecasts)
        self._kept = dict.fromkeys(tokens)

    async def identity(self, token):
        if token not in self._kept:
            return await super().identity(token)
        self._kept[token] = self._kept[token] or await super().identity(token)
        return self._kept[token]


async def at_once(_):
    """Sleep no time at all."""


@contextmanager
def fuzzed_service(folder):
    """(address, tokens by owner) of the service; it is stopped in the end."""
    url = f"sqlite:///{folder}/kilowait.db"
    new_key(folder / "key")
    store, scheduler = Store(url), Scheduler(url, str(folder / "key"))
    roles = {"ada": Role.SUBMIT, "bob": Role.SUBMIT, "operator": Role.OPERATE}
    tokens = {owner: create(store, owner, role, time.time()) for owner, role in roles.items()}
    forecasts = Forecasts(Actor(Predictor()))
    forecasts.version, forecasts.well = "probe", True  # as once it was looked up
    desk = KeepingDesk(Actor(scheduler), forecasts, tokens.values())
    app = build(desk, Learner(desk, 0))
    app.state.wrong_tokens = WrongTokens(sleep=at_once)  # or a thousand of them would take an hour
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)  # who asks before the server is there waits
        server = uvicorn.Server(uvicorn.Config(app, log_level=logging.ERROR))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}", tokens
        finally:
            server.should_exit = True
            thread.join()
            for one in (desk._store, store, scheduler):
                if one is not None:
                    one.close()

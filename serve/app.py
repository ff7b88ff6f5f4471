"""The application: `serve run serve.app:app`, or `serve deploy serve/config.yaml`.

Two deployments: the predictor, and the scheduler's HTTP service in front of the inventory actor. Arguments of the
builder are the keys of `Options`; `serve run serve.app:app policy=easy` sets one. Ray Serve's HTTP port has no
authentication of its own and is bound to 127.0.0.1; the API asks for tokens itself, except for its health.
"""

import asyncio
import json
import logging
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field
from ray import serve
from ray.serve import Application

from serve.desk import Desk
from serve.inventory import Settings, deploy
from serve.predictor import MAX_QUEUED, Predictor
from serve.routes import build

KEEP_UP_S = 1.0
SQLITE = "sqlite:///"
HEAD = {"node:__internal_head__": 0.001}
"""With SQLite the history is a file of the head node: the scheduler and its service run there."""


class Options(BaseModel):
    """What the application may be told; `policy_options` as JSON or as a mapping."""

    model_config = ConfigDict(extra="forbid")

    database: str = "sqlite:///out/serve/kilowait.db"
    policy: str = "value"
    policy_options: dict[str, Any] | str | None = None
    bundle: str | None = None
    device_model: str | None = None
    dry_run_budget_s: float = Field(default=2.0, ge=0, allow_inf_nan=False)
    threads: int = 1
    max_queued: int = MAX_QUEUED

    def settings(self) -> Settings:
        """For the scheduler actor."""
        options = json.loads(self.policy_options) if isinstance(self.policy_options, str) else self.policy_options
        if options is None:
            options = {"kappa_relative": 1.0} if self.policy in ("value", "value_aging", "value_cvar") else {}
        return Settings(url=_absolute(self.database), policy=self.policy, policy_options=options)


@serve.deployment(name="scheduler", num_replicas=1, max_ongoing_requests=512, ray_actor_options={"num_cpus": 0})
@serve.ingress()
class Service:
    """The HTTP service. One replica: its counters and its mirror of the log are its own."""

    def __init__(self, options: Options, predictor: Any) -> None:
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        settings = options.settings()
        make_folder(settings.url)
        self.desk = Desk(deploy(settings), predictor)
        loop = asyncio.get_event_loop()
        self._tasks = [loop.create_task(self.desk.forecasts.watch()), loop.create_task(self._keep_up())]

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The routes over this replica's desk."""
        return build(self.desk)

    async def _keep_up(self) -> None:
        """Follow the log without being asked, so that nobody waits for a long one."""
        while True:
            try:
                await self.desk.mirror()
            except Exception:  # the scheduler may be on its way back; whoever asks is told
                logging.getLogger("ray.serve").warning("the log cannot be followed now", exc_info=True)
            await asyncio.sleep(KEEP_UP_S)


def app(options: Options) -> Application:
    """The application with these options; raises InputError for a policy that is unknown."""
    predictor = Predictor.options(max_queued_requests=options.max_queued).bind(
        options.bundle, options.threads, options.device_model, options.dry_run_budget_s
    )
    return Service.options(ray_actor_options={"num_cpus": 0, "resources": HEAD}).bind(options, predictor)


def _absolute(url: str) -> str:
    """An SQLite path that means the same in every process."""
    if "://" in url and not url.startswith(SQLITE):
        return url
    return f"{SQLITE}{Path(url.removeprefix(SQLITE)).absolute()}"


def make_folder(url: str) -> str:
    """The same URL, once the folder of an SQLite file is there."""
    if url.startswith(SQLITE):
        Path(url.removeprefix(SQLITE)).parent.mkdir(parents=True, exist_ok=True)
    return url

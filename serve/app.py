"""The application: `serve run kilowait.serve.app:app`, or `serve deploy serve/config.yaml`.

Two deployments: the predictor, and the scheduler's HTTP service in front of the inventory actor. Arguments of the
builder are the keys of `Options`; `serve run kilowait.serve.app:app policy=easy` sets one. Ray Serve's HTTP port has no
authentication of its own and is bound to 127.0.0.1; the API asks for tokens itself, except for its health.
"""

import asyncio
import json
import logging
import os
import time
from functools import partial
from pathlib import Path
from typing import Any, Literal

from fastapi import FastAPI
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt
from ray import serve
from ray.serve import Application

from kilowait.core.errors import InputError
from kilowait.core.hardware import canonical
from kilowait.core.over_time.price_list import read_price_list
from kilowait.core.over_time.time_text import seconds
from kilowait.core.private_files import private_folder
from kilowait.history.lease import LEASE_S
from kilowait.history.secrecy.key_file import VARIABLE
from kilowait.isolation.modes import IsolationSettings
from kilowait.live.job_outputs import OutputSettings, OutputStore
from kilowait.live.notifying.notice_settings import NoticeSettings
from kilowait.live.signalling.signal_source import signal_sources
from kilowait.policies import DEFAULT_POLICY
from kilowait.policies.wrappers.wrapper import flexible_name
from kilowait.predict.dry_runs import BUDGET_S
from kilowait.predict.embed.features import THREADS

from .api.routes import build
from .desk.desk import Desk
from .desk.forecasts import Forecasts
from .desk.learner import Learner
from .desk.notify_desk.notifier import Notifier
from .desk.predictor_replica import MAX_ONGOING, MAX_QUEUED, PredictorReplica
from .environments.built_environments import EnvironmentSettings
from .isolation_options import SQLITE, mount_of, own_files, owner_uids_of
from .log_records import make_harmless
from .option_paths import absolute, key_path, looked_up, url_or_folder
from .scheduler.deploy import deploy
from .scheduler.settings import SchedulerSettings, default_options
from .sign_on.sign_on_settings import sign_on_settings
from .software import checked_software

KEEP_UP_S = 1.0
FORGET_S = 3600.0
EMBEDDING_S, CLOCK = 20.0, 3.0
"""How long a submission waits for its own prediction: seconds for the language model, and seconds by the clock that a
dry run may take for each CPU second of its budget."""

DATABASE = f"{SQLITE}out/serve/kilowait.db"
REFIT_EVERY = 50
HEAD = {"node:__internal_head__": 0.001}
"""With SQLite the history is a file of the head node: the scheduler and its service run there."""


class Options(BaseModel):
    """What the application may be told; `policy_options` as JSON or as a mapping.

    A `database` of the form $NAME is read from that environment variable where the service runs: a URL with a password
    belongs into a secret, not into a file of settings.
    """

    model_config = ConfigDict(extra="forbid")

    database: str = DATABASE
    policy: str = DEFAULT_POLICY
    policy_options: dict[str, Any] | str | None = None
    bundle: str | None = None
    device_model: str | None = None
    dry_run_budget_s: float = Field(default=BUDGET_S, ge=0, allow_inf_nan=False)
    threads: int = THREADS
    max_queued: int = MAX_QUEUED
    refit_every: int = Field(default=REFIT_EVERY, ge=0)
    """Finished measured jobs from one refit to the next; 0 for never."""
    learn_pretended: bool = False
    """For a try-out: learn from pretended GPUs, about those alone."""
    grow_to: dict[str, PositiveInt] = {}
    allow_open_cluster: bool = False
    """Serve even over a Ray cluster that answers without a token of Ray's: only where nobody else reaches its ports."""
    isolation: Literal["auto", "none", "user", "namespace", "container"] = "auto"
    """How jobs are kept apart: [](../explanation/isolation.md). `auto` is the strongest of `namespace`, `user` and
    `none` that holds here."""
    memory_gb_per_gpu: PositiveFloat | None = None
    """What a job may hold of the node's memory for each of its GPUs; else its share of it."""
    mounts: list[str] = []
    """What jobs see besides their own folder and the system: `/PATH`, `/PATH:rw`, `/PATH@OWNER,...`."""
    owner_uids: dict[str, int] = {}
    """Owners whose jobs run as a user of the machine: `ada: 1001`. Others' run as a user that each job has alone."""
    software: dict[str, str] = {}
    """Environments that jobs may choose by name, each with its interpreter: `vision: /opt/envs/vision/bin/python`."""
    container_image: str = ""
    """For the isolation `container`: the image that jobs run in; it has `python3`."""
    images: list[str] = []
    """Images that jobs may choose (`--image`), each with `python3`; `*` stands for any text: `docker.io/pytorch/*`."""

    signals: list[str] = []
    """Carbon, water or price of the site's electricity over time, measured or foreseen: `carbon=FILE` or `carbon=URL`,
    and behind it `,zone=DE`, `,column=NAME`, `,default=380` (what holds once its hours are over and nothing newer is to
    be had), `,header=auth-token:$VARIABLE`: [](../how-to/follow-the-grid.md). Jobs that say that they may wait
    are kept for better hours."""
    signals_every_s: float = Field(default=900.0, ge=1, allow_inf_nan=False)
    """How often signals are looked at."""
    flexible: str = ""
    """How long every job may be kept for better hours that does not say itself, as `24h`; by default not at all."""
    prices: str = ""
    """A price list (TOML) that weighs carbon, water, electricity and waiting; by default the first signal counts."""

    lease_s: float = Field(default=LEASE_S, ge=5, le=LEASE_S)
    """Seconds after which a standby takes over from a scheduler that is heard of no more. With less than the default a
    job whose scheduler is away for two thirds of that is ended, and starts again: [](../how-to/run-a-standby.md)."""
    standby: bool = False
    """Wait while another cluster has the history, and take over from it."""

    outputs: str = ""
    """Where files that jobs keep (`--output`) are kept: a folder that every node sees, or a URL such as
    `s3://bucket/path`. By default the folder `outputs` beside an SQLite history; nowhere with PostgreSQL."""
    outputs_gb: PositiveFloat = 10.0
    """What is kept at most of a job on a node, in gigabytes."""
    outputs_days: float = Field(default=30.0, ge=0, allow_inf_nan=False)
    """How long it is kept; 0 for ever."""

    environments: str = ""
    """A folder, on every node, in which environments of what jobs require are built and kept; without one users may not
    ask for packages: [](../how-to/bring-packages.md)."""
    environments_gb: PositiveFloat = 20.0
    """What of it is kept at most on a node; what was used longest ago goes first."""
    environments_index: list[str] = []
    """Where packages are from: URLs of indexes, or folders of wheels; by default what uv is told on the node."""
    environments_always: bool = False
    """Build for a job whose folder has a `requirements.txt` or a `uv.lock`, without being asked."""

    secrets_key_file: str = ""
    """The file of the key by which secrets are encrypted (`kilowait secret new-key FILE`): on every node that runs the
    scheduler, and no part of the history. By default what KILOWAIT_SECRETS_KEY_FILE says; without one there are no
    secrets and no webhooks."""
    oidc: dict[str, Any] = {}
    """A provider of OpenID Connect by which people sign in to the page: `issuer` and `client_id`, and more as
    [](../how-to/sign-in-with-openid.md) says. Its secret is what KILOWAIT_OIDC_CLIENT_SECRET says."""
    notify_internal: list[str] = []
    """Hosts, addresses and networks (`10.0.0.0/8`) that are not public and may be told of jobs all the same."""
    smtp: str = ""
    """The server that mails notices: `smtp://host:25`, `smtps://USER@host`, `smtp+starttls://USER@host:587`. The
    password is what KILOWAIT_SMTP_PASSWORD says where the service runs."""
    mail_from: str = ""
    """From whom these mails come."""
    mail_domains: list[str] = []
    """Domains of the addresses that may be written to; `*` for any."""

    def settings(self) -> SchedulerSettings:
        """For the scheduler actor; raises InputError for an environment variable that is not set."""
        options = json.loads(self.policy_options) if isinstance(self.policy_options, str) else self.policy_options
        if options is None:
            options = default_options(self.policy)
        if self.prices:
            options = {**options, "prices": read_price_list(self.prices)}
        if self.flexible:
            seconds(self.flexible)
        if not self.signals and (self.flexible or self.prices):
            raise InputError("flexible, prices: by what should an hour be better? Give signals, as carbon=FILE")
        grow_to = {canonical(name): gpus for name, gpus in self.grow_to.items()}
        return SchedulerSettings(
            url=absolute(looked_up(self.database)),
            policy=flexible_name(self.policy, self.flexible or "0s") if self.signals else self.policy,
            policy_options=options,
            signals=signal_sources(self.signals),
            signals_every_s=self.signals_every_s,
            grow_to=grow_to,
            allow_open_cluster=self.allow_open_cluster,
            isolation=self.isolation_settings(),
            outputs=self.output_settings(),
            environments=EnvironmentSettings(
                folder=self.environments and str(Path(self.environments).absolute()),
                max_bytes=int(self.environments_gb * 1e9),
                indexes=tuple(map(url_or_folder, self.environments_index)),
                always=self.environments_always,
            ),
            secrets_key_file=self.settings_key_file(),
            notices=NoticeSettings(
                internal=tuple(self.notify_internal),
                smtp=self.smtp,
                smtp_password=os.environ.get("KILOWAIT_SMTP_PASSWORD", ""),
                mail_from=self.mail_from,
                mail_domains=tuple(self.mail_domains),
            ),
            lease_s=self.lease_s,
            standby=self.standby,
        )

    def _keys(self) -> tuple[str, ...]:
        return tuple(filter(None, [self.settings_key_file()]))

    def settings_key_file(self) -> str:
        """Where the key for secrets is, "" for none; raises InputError for one that cannot be read."""
        return key_path(self.secrets_key_file or os.environ.get(VARIABLE, ""))

    def output_settings(self) -> OutputSettings:
        """For whoever keeps files of jobs."""
        url = absolute(looked_up(self.database))
        beside = str(Path(url.removeprefix(SQLITE)).parent / "outputs") if url.startswith(SQLITE) else ""
        return OutputSettings(url=self.outputs or beside, max_bytes=int(self.outputs_gb * 1e9), days=self.outputs_days)

    def isolation_settings(self) -> IsolationSettings:
        """For whoever runs jobs; raises InputError for a mount that is not there."""
        per_gpu = None if self.memory_gb_per_gpu is None else int(self.memory_gb_per_gpu * 1e9)
        return IsolationSettings(
            mode=self.isolation,
            memory_per_gpu_bytes=per_gpu,
            mounts=tuple(map(mount_of, self.mounts)),
            image=self.container_image,
            images=tuple(self.images),
            owner_uids=owner_uids_of(self.owner_uids),
            hidden=(*own_files(absolute(looked_up(self.database))), *self.output_settings().folders, *self._keys()),
        )


@serve.deployment(name="scheduler", num_replicas=1, max_ongoing_requests=512, ray_actor_options={"num_cpus": 0})
@serve.ingress()
class Service:
    """The HTTP service. One replica: its counters and its mirror of the log are its own."""

    def __init__(self, options: Options, predictor: Any) -> None:
        logging.getLogger("ray.serve").setLevel(logging.WARNING)
        make_harmless(logging.getLogger("ray.serve"))
        settings, self._sign_on = options.settings(), sign_on_settings(options.oidc)
        make_folder(settings.url)
        forecasts = Forecasts(
            predictor, room=MAX_ONGOING + options.max_queued, alone_s=EMBEDDING_S + CLOCK * options.dry_run_budget_s
        )
        self.desk = Desk(deploy(settings), forecasts, settings.isolation, checked_software(options.software))
        loop = asyncio.get_event_loop()
        self.learner = Learner(self.desk, options.refit_every, pretended=options.learn_pretended)
        watchers = (
            self._keep_up,
            self.desk.forecasts.watch,
            self.desk.following.run,
            self.desk.isolation.keep_up,
            self.learner.keep_up,
            self.learner.run,
            Notifier(self.desk).run,
            partial(_forget_outputs, settings.outputs),
        )
        self._tasks = [loop.create_task(watcher()) for watcher in watchers]

    def __serve_build_asgi_app__(self) -> FastAPI:
        """The routes over this replica's desk."""
        return build(self.desk, self.learner, self._sign_on)

    async def _keep_up(self) -> None:
        """Follow the log without being asked, so that nobody waits for a long one."""
        while True:
            try:
                await self.desk.mirror()
            except Exception:  # the scheduler may be on its way back; whoever asks is told
                logging.getLogger("ray.serve").warning("the log cannot be followed now", exc_info=True)
            await asyncio.sleep(KEEP_UP_S)


async def _forget_outputs(settings: OutputSettings) -> None:
    """Remove what jobs kept and is too old, now and then."""
    while True:
        try:
            await asyncio.to_thread(lambda: OutputStore(settings).forget(time.time()))
        except (OSError, InputError):  # the place may be on its way back
            logging.getLogger("ray.serve").warning("old outputs cannot be removed now", exc_info=True)
        await asyncio.sleep(FORGET_S)


def app(options: Options) -> Application:
    """The application with these options; raises InputError for a policy that is unknown."""
    predictor = PredictorReplica.options(max_queued_requests=options.max_queued).bind(
        options.bundle, options.threads, options.device_model, options.dry_run_budget_s
    )
    return Service.options(ray_actor_options={"num_cpus": 0, "resources": HEAD}).bind(options, predictor)


def make_folder(url: str) -> str:
    """The same URL, once the folder of an SQLite file is there."""
    if url.startswith(SQLITE):
        private_folder(Path(url.removeprefix(SQLITE)).parent)
    return url

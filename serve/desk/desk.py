"""What the HTTP routes ask for, put together from the scheduler's log, its store and the predictions.

One desk a replica, on the node that has the history where that is an SQLite file. Nothing here is the truth:
everything can be had again.
"""

import asyncio
import hashlib
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from kilowait.core.errors import InputError
from kilowait.core.hardware import GPU_TYPES, power_order
from kilowait.core.jobs import Prediction
from kilowait.core.submission import Request
from kilowait.core.units import DAY_S, WHOLE
from kilowait.history.bases import Base
from kilowait.history.queries import decoded
from kilowait.history.secrecy.sealed_programs import with_sealed
from kilowait.history.store import Store
from kilowait.history.tokens import Identity
from kilowait.isolation.modes import IsolationSettings
from kilowait.live.deciding import held_to
from kilowait.live.mirror import Mirror
from kilowait.live.saving import saved_mirror
from kilowait.policies import POLICIES, Policy
from kilowait.policies.steering.steered import at_price, price_in_force
from kilowait.predict.standin import on_types, unread
from kilowait.program.job_source import JobSource
from kilowait.program.resources import GpuRequest as Asks
from kilowait.simulate.outlook import Errors, Expected, errors_of, outlook, what_if

from ..environments.chosen_python import access_in, notes_of, with_notes, with_python
from ..scheduler.settings import SchedulerSettings
from ..software import python_of
from ..wire import schemas
from ..wire.problems import busy
from . import questions
from .answers import (
    asked_wire,
    base_of,
    expectations,
    needs_wire,
    refuse_what_fits_nowhere,
    shared,
    versions,
    warnings_of,
    was_predicted,
)
from .corrections import Corrections
from .following import Following
from .forecasts import KEPT, Forecasts
from .isolation_watch import IsolationWatch
from .job_views import watts_view
from .outlook_desk.outlooks import Outlooks
from .predictor_replica import PredictionQuestion, Told
from .programs import program_asked, program_of
from .readings import Readings
from .submitting import Submissions, check_early, request_of, same

T = TypeVar("T")
Prepared = tuple[Request, Asks, list[str], Base | JobSource | None]
"""A submission as the scheduler takes it, what it asks for, what its user should know, and its base predictions: its
source where none were there in time, None for a shell."""

PAGE, STANDBY_S = 5000, 10.0
"""Events that are fetched at once; and so long a scheduler that has not begun is waited for: it may be a standby."""
IDENTITY_S = 5.0
"""So long a token is believed without asking: so long a revoked one may still be heard."""
ERRORS_S = 10.0
"""How old the errors of predictions may be that intervals are made from."""

POWER_S = 2.0
"""How old a reading of the boards' power may be that is shown."""


class Desk:
    """Answers what the routes ask, by the scheduler actor `scheduler` and the predictor's `forecasts`."""

    def __init__(
        self,
        scheduler: Any,
        forecasts: Forecasts,
        isolation: IsolationSettings | None = None,
        software: Mapping[str, str] | None = None,
    ) -> None:
        self.scheduler = scheduler
        self.software, self._settings_of_isolation = software or {}, isolation or IsolationSettings()
        self._submissions, self.readings = Submissions(scheduler), Readings(room=KEPT)
        self.forecasts, self.isolation = forecasts, IsolationWatch(self._settings_of_isolation)
        self.corrections = Corrections(self.ask)
        self.following = Following(self)
        self._following, self.quota_changes, self.last_mirror = asyncio.Lock(), asyncio.Lock(), None
        self._opening, self._store = asyncio.Lock(), None
        self.settings: SchedulerSettings | None = None
        self._identities: dict[str, tuple[float, Identity | None]] = {}
        self._outlooks = Outlooks(self._foresee)
        self._power: tuple[float, dict[str, schemas.Figure]] = (-POWER_S, {})
        self._errors_s, self._errors = -ERRORS_S, (-1, Errors())

    async def ask(self, question: Callable[..., T], *arguments: Any) -> T:
        """Ask the history, in a thread: it holds whatever anybody was answered, and the scheduler is not disturbed."""
        async with self._opening:
            if self._store is None:
                self.settings = (await asyncio.wait_for(self.scheduler.status.remote(), STANDBY_S))["settings"]
                self._store = await asyncio.to_thread(Store, self.settings.url)
        return await asyncio.to_thread(question, self._store, *arguments)

    @property
    def key_file(self) -> str:
        """Where the key for secrets is, "" for none, once something was asked."""
        return "" if self.settings is None else self.settings.secrets_key_file

    async def identity(self, token: str) -> Identity | None:
        """Whose token this is; an answer is believed for IDENTITY_S."""
        key, now_s = hashlib.sha256(token.encode()).hexdigest(), time.monotonic()
        entry = self._identities.get(key)
        if entry is None or now_s - entry[0] > IDENTITY_S:
            entry = now_s, await self.ask(questions.identify, token)
            if len(self._identities) > 10_000:
                self._identities.clear()
            self._identities[key] = entry
        return entry[1]

    def forget_identities(self) -> None:
        """A token was revoked: ask about each again."""
        self._identities.clear()

    async def mirror(self) -> Mirror:
        """The cluster as of the last event."""
        async with self._following:
            mirror = self.last_mirror = self.last_mirror or await self.ask(self._saved_mirror)
            while events := await self.ask(questions.events, mirror.seq, PAGE):
                for event in events:
                    mirror.take(event[0], decoded(event))
            return mirror

    def _saved_mirror(self, store: Store) -> Mirror:
        assert self.settings is not None  # once something was asked
        return saved_mirror(store, self.settings.policy, self.settings.policy_options, tuple(GPU_TYPES))

    async def predict(self, asked: schemas.SourceBody, owner: str) -> schemas.PredictionView:
        """What a source of `owner` takes on every device type of the probe and every GPU type of the cluster."""
        python = python_of(self.software, asked.software)
        job_source, asks, _ = await self.readings.of(program_asked(asked), owner, asked.gpus)
        types = tuple(dict.fromkeys([*await self.types(), *power_order(asked.gpu_types)]))
        if (answer := await self._forecast(job_source, asks.gpus, owner, python, types)) is None:
            raise busy()
        forecast, cached = answer
        base = base_of(job_source, forecast, on_types(forecast.predictions, types, asks.gpus), asks.gpus * WHOLE)
        predictions = await self.corrections.apply(base, owner)
        return schemas.PredictionView(
            content_hash=job_source.content_hash,
            probe_version=versions(predictions),
            cached=cached,
            asks_for=asked_wire(asks),
            by_type=expectations(predictions),
            dry_run=forecast.dry_run,
            memory=dict(forecast.memory),
            memory_needs=needs_wire(forecast.memory_needs),
        )

    async def types(self) -> tuple[str, ...]:
        """The GPU types of the cluster that the catalogue knows."""
        if self.last_mirror is None or not self.last_mirror.cluster.total:
            await self.mirror()
        assert self.last_mirror is not None
        return tuple(sorted(name for name in self.last_mirror.cluster.total if name in GPU_TYPES))

    async def _forecast(
        self, source: JobSource, gpus: int, owner: str, python: str, types: tuple[str, ...] = ()
    ) -> tuple[Told, bool] | None:
        """What the models predict of a source, and whether that was remembered; None where it takes too long."""
        question = await self._question(source, gpus, owner, python)
        return await self.forecasts.of(replace(question, gpu_types=types or question.gpu_types), owner)

    async def _question(self, source: JobSource, gpus: int, owner: str, python: str) -> PredictionQuestion:
        access = await asyncio.to_thread(access_in, self.settings, self._settings_of_isolation, owner, python)
        return PredictionQuestion(source=source, gpu_types=await self.types(), gpus=gpus, access=access)

    async def _predicted(
        self, source: JobSource, gpus: int, milli: int, owner: str, python: str
    ) -> tuple[Mapping[str, Prediction], Told | None, Base | None]:
        """Predictions of a job, what they were made from, and what of it is kept: stand-ins and None if too late."""
        share = milli / WHOLE
        if (answer := await self._forecast(source, gpus, owner, python)) is None:
            return unread(await self.types(), gpus * share), None, None
        return await self._applied(source, answer[0], gpus, milli, owner)

    async def predicted_later(
        self, source: JobSource, gpus: int, milli: int, owner: str, python: str = ""
    ) -> tuple[Mapping[str, Prediction], Told, Base]:
        """As what a submission gets in time, however long it takes; raises what the predictor raises, and Refusal."""
        told = await self.forecasts.later(await self._question(source, gpus, owner, python), owner)
        return await self._applied(source, told, gpus, milli, owner)

    async def _applied(
        self, source: JobSource, told: Told, gpus: int, milli: int, owner: str
    ) -> tuple[Mapping[str, Prediction], Told, Base]:
        share = milli / WHOLE
        by_type = on_types(shared(told.predictions, share), await self.types(), gpus * share)
        base = base_of(source, told, by_type, gpus * milli)
        return await self.corrections.apply(base, owner), told, base

    async def request(
        self, asked: schemas.SubmissionBody, owner: str, key: str, *, only_asking: bool = False
    ) -> Prepared:
        """A submission as the scheduler takes it, with its predictions, and what its user should know.

        Raises Refusal where its memory fits no type, unless it is forced or nothing is to be submitted.
        """
        program = program_of(asked) if asked.archive is None else await asyncio.to_thread(program_of, asked)
        program = await with_python(self, asked, program)
        if not only_asking:
            cluster = (await self.mirror()).cluster if self.last_mirror and self.last_mirror.cluster.quotas else None
            await check_early(cluster, self.ask, self.key_file, program, owner, key)
        types = None if asked.gpu_types is None else tuple(asked.gpu_types)
        source, asks, notes = await self.readings.of(program, owner, asked.gpus, types)
        predictions, told, base = await self._predicted(source, asks.gpus, asked.gpu_milli, owner, program.python)
        if told and not asked.force and not only_asking:
            refuse_what_fits_nowhere(told.memory_needs, asks.gpu_types, await self.types())
        program = with_sealed(program, self.key_file, owner)
        request = request_of(asked, program, source, asks, predictions, owner=owner, key=key, told=told)
        about = await asyncio.to_thread(notes_of, self, program)
        warnings = [*notes, *about, *warnings_of(request, told, time.time())]
        return with_notes(request, about), asks, warnings, base or source

    async def submit(self, asked: schemas.SubmissionBody, owner: str, key: str | None) -> schemas.Submitted:
        """Accept a job: durable when this returns. The same key asks for the same job, whatever the probe says now."""
        return await self.accepted(await self.request(asked, owner, key or uuid.uuid4().hex), key)

    async def accepted(self, prepared: Prepared, key: str | None) -> schemas.Submitted:
        """The answer to a request once it is durable."""
        request, asks, warnings, base = prepared
        try:
            job_id = await self._submissions.submit(request)
            if isinstance(base, Base):
                self.corrections.keep(base)
            elif base is not None:
                self.following.note(job_id, base, request.program.python)
        except InputError:
            before = None if key is None else await self.ask(questions.job_of_key, request.job.user or "", key)
            if before is None or not same(before, request):
                raise
            job_id = before["job_id"]
        return schemas.Submitted(
            job_id=job_id,
            probe_version=versions(request.predictions),
            asks_for=asked_wire(asks),
            by_type=expectations(request.predictions),
            warnings=warnings,
        )

    async def powers(self) -> dict[str, schemas.Figure]:
        """By job id, the watts that its boards draw now; at most POWER_S old."""
        if time.monotonic() - self._power[0] > POWER_S:
            nodes = await self.scheduler.power.remote()
            self._power = time.monotonic(), {job_id: watts_view(of_job) for job_id, of_job in nodes.items()}
        return self._power[1]

    async def errors(self) -> Errors:
        """How far run times were from their predictions here, looked up anew once a job has ended."""
        mirror = await self.mirror()
        if self._errors[0] != mirror.finished and time.monotonic() - self._errors_s > ERRORS_S:
            self._errors_s = time.monotonic()
            rows = await self.ask(questions.ended, None, ("", 0), time.time() - 30 * DAY_S, 2000)
            ended = [row for row in rows if was_predicted(row) and not row["exit_code"]]
            pairs = [(row["predicted_runtime_s"], row["runtime_s"]) for row in ended]
            self._errors = mirror.finished, errors_of(pairs)
        return self._errors[1]

    async def expected(self) -> Mapping[str, Expected]:
        """When the waiting jobs start."""
        return await self._outlooks.at((await self.mirror()).seq)

    async def _foresee(self) -> tuple[int, dict[str, Expected]]:
        """What is expected as of the last event, and which that is."""
        mirror, errors = await self.mirror(), await self.errors()
        seq, state = mirror.seq, mirror.cluster.copy()
        policy = await self._policy()
        return seq, await asyncio.to_thread(outlook, state, policy, time.time(), errors, seq)

    async def if_submitted(self, request: Request) -> tuple[dict[str | None, Expected | str], Errors]:
        """What a job would get now, by type and left to the policy (None)."""
        mirror, errors = await self.mirror(), await self.errors()
        job, state = replace(request.job, job_id="what-if", after=()), mirror.cluster.copy()
        policy = await self._policy()
        asked = state, policy, time.time(), job, request.predictions, errors, mirror.seq
        return await asyncio.to_thread(what_if, *asked), errors

    async def _policy(self) -> Policy:
        """What the scheduler does now; a price that steers itself stays where it is."""
        assert self.settings is not None
        policy = POLICIES[self.settings.policy](**self.settings.policy_options)
        steers = price_in_force(policy) is not None
        return held_to(at_price(policy, await self.scheduler.price.remote() if steers else None))

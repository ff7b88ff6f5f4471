"""Routes of the models that were learnt from finished jobs: list, show, promote and roll back."""

import time
from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Request

from kilowait.core.errors import InputError
from kilowait.history import models as learned

from ..desk.desk import Desk
from ..desk.learner import Learner
from ..wire import model_schemas as wire
from ..wire.problems import Refusal
from .access import At, Operator, Reader

router = APIRouter(prefix="/v1/models")


def the_learner(request: Request) -> Learner:
    """The learner of this application."""
    learner: Learner = request.app.state.learner
    return learner


@router.get("")
async def list_models(desk: At, learner: Annotated[Learner, Depends(the_learner)], _: Reader) -> wire.ModelsView:
    """Every model that was learnt, which one is in force, and every change of that."""
    models, changes = await desk.ask(learned.listed), await desk.ask(learned.changes)
    return wire.ModelsView(
        base_version=desk.forecasts.version,
        current=next((model.version for model in models if model.state is learned.State.CURRENT), None),
        models=[_view(model, desk) for model in models],
        changes=[_change(change) for change in reversed(changes)],
        drift=None if learner.drift is None else wire.DriftView(**asdict(learner.drift)),
    )


@router.get("/{version}")
async def show_model(version: str, desk: At, _: Reader) -> wire.ModelView:
    """A model and its comparison."""
    return _view(await _model_of(desk, version), desk)


@router.post("/rollback")
async def roll_back(body: wire.ReasonBody, desk: At, who: Operator) -> wire.ChangeView:
    """Take the model in force off: what was in force before it is again, in the end the base predictions."""
    return await _changed(
        desk, lambda store: learned.rollback(store, who=who.owner, reason=body.reason, now_s=time.time())
    )


@router.post("/{version}/promote")
async def promote_model(version: str, body: wire.ReasonBody, desk: At, who: Operator) -> wire.ChangeView:
    """Put a model in force, whatever its comparison said; no request waits for it."""
    await _model_of(desk, version)
    return await _changed(
        desk, lambda store: learned.promote(store, version, who=who.owner, reason=body.reason, now_s=time.time())
    )


async def _model_of(desk: Desk, version: str) -> learned.LearnedModel:
    model = next((entry for entry in await desk.ask(learned.listed) if entry.version == version), None)
    if model is None:
        remedy = "list them with GET /v1/models, or: kilowait model list"
        raise Refusal(404, "not found", f"no model {version!r}", field="version", remedy=remedy)
    return model


async def _changed(desk: Desk, change: Any) -> wire.ChangeView:
    try:
        outcome = await desk.ask(change)
    except InputError as error:
        detail, _, remedy = str(error).rpartition("; ")
        raise Refusal(409, "conflict", detail or str(error), field="version", remedy=remedy) from error
    await desk.corrections.look()
    return _change(outcome)


def _view(model: learned.LearnedModel, desk: Desk) -> wire.ModelView:
    current = model.version == desk.corrections.version
    return wire.ModelView(
        version=model.version,
        base_version=model.base_version,
        state=model.state.value,
        applied=current and desk.corrections.applies(desk.forecasts.version),
        made_s=model.made_s,
        jobs=model.jobs,
        newest_job=model.newest_job,
        newest_s=model.newest_s,
        pretended=model.pretended,
        kept=model.kept,
        said=str(model.scores.get("said", "")),
        scores=[wire.ScoreView(**score) for score in model.scores.get("table", ())],
    )


def _change(change: learned.Change) -> wire.ChangeView:
    return wire.ChangeView(**msgspec.structs.asdict(change))

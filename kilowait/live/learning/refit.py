"""One round of learning: a candidate from the measured jobs, compared, kept, and promoted only when it is better.

The recipe is what is compared: trained on the older jobs and held against the newest. What is kept is the same recipe,
with its variances and the calibrated ends of its intervals, on all jobs, the tested ones too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import InputError
from kilowait.history import bases, models
from kilowait.history.store import Store
from kilowait.live.learning.compare import Score, first_tested, needed, scores, verdict
from kilowait.live.learning.observed import Observed, count, observed
from kilowait.predict.correction.blob import Packed, packed, unpacked
from kilowait.predict.correction.correction import ENERGY, RUNTIME, Correction
from kilowait.predict.correction.training import MeasuredJobs, calibrated, train


class RefitOutcome(StrEnum):
    """How a round of learning ended."""

    PROMOTED = "promoted"
    NOT_BETTER = "not better"
    TOO_FEW = "too few jobs"
    BETTER = "better"  # and not promoted, because it was only to be compared


@dataclass(frozen=True, slots=True, kw_only=True)
class RefitRound:
    """What a round did. `version` is the candidate's, None where none was made or kept.

    `trained` and `tested` count jobs of the comparison; `lacking` jobs were left out, whose base prediction was not
    kept or is of another version.
    """

    outcome: RefitOutcome
    reason: str
    base_version: str
    version: str | None = None
    trained: int = 0
    tested: int = 0
    lacking: int = 0
    scores: Sequence[Score] = field(default_factory=tuple)


def in_force(store: Store) -> tuple[str, Correction] | None:
    """The version and the correction that is in force, None where none is; raises StoreError and ModelError."""
    version = models.current(store)
    return None if version is None else (version, read(store, version))


def read(store: Store, version: str) -> Correction:
    """The correction of a version; raises InputError for one that is unknown, ModelError for a damaged one."""
    description, tensors = models.parts(store, version)
    return unpacked(Packed(version=version, description=description, tensors=tensors))


def refit(
    store: Store,
    *,
    now_s: float,
    base_version: str | None = None,
    pretended: bool = False,
    only_compare: bool = False,
    who: str = "refit",
) -> RefitRound:
    """Learn from what the store has; with `only_compare` nothing is written.

    `base_version` is that of the predictor, None for the newest that was kept. Raises StoreError and ModelError, and
    InputError where no base prediction was ever kept.
    """
    base = base_version or bases.newest_version(store)
    if base is None:
        raise InputError(f"{store.name}: no base prediction was kept yet; the service keeps one with each submission")
    jobs, incumbent = observed(store, base, pretended=pretended), _incumbent(store, base, pretended)
    since = len(jobs) if incumbent is None else int((jobs.ended_s > incumbent.training["newest_s"]).sum())
    first = first_tested(len(jobs), since)
    if first is None:
        pretended_jobs = 0 if pretended else count(store, pretended=True)
        return _too_few(jobs, since, base, pretended_jobs)
    trained, tested = (jobs.measured.where(np.arange(*span)) for span in ((0, first), (first, len(jobs))))
    recipe = calibrated(train(trained, base, pretended=pretended), tested)
    errors = _errors(tested, {"current": incumbent, "candidate": recipe})
    known_sources = set(trained.source)
    comparisons = scores(errors, tested.source, np.array([source not in known_sources for source in tested.source]))
    better, reason = verdict(comparisons)
    result = RefitRound(
        outcome=RefitOutcome.BETTER if better else RefitOutcome.NOT_BETTER,
        reason=reason,
        base_version=base,
        trained=first,
        tested=len(jobs) - first,
        lacking=jobs.lacking,
        scores=comparisons,
    )
    return result if only_compare else _kept(store, result, recipe, jobs, errors, now_s, who)


def _incumbent(store: Store, base: str, pretended: bool) -> Correction | None:
    """The correction in force where it is of this base predictor and of such jobs: any other is not applied to them."""
    current = in_force(store)
    return current[1] if current and (current[1].base_version, current[1].pretended) == (base, pretended) else None


def _too_few(jobs: Observed, since: int, base: str, pretended_jobs: int) -> RefitRound:
    more = needed(len(jobs), since)
    reason = f"needs at least {more} more measured jobs; {len(jobs)} teach, {since} of them since the model in force"
    details = f"; {jobs.lacking} more lack a base prediction of {base}" if jobs.lacking else ""
    details += f"; {pretended_jobs} on pretended GPUs teach only when asked to (--pretended)" if pretended_jobs else ""
    return RefitRound(outcome=RefitOutcome.TOO_FEW, reason=reason + details, base_version=base, lacking=jobs.lacking)


def _errors(tested: MeasuredJobs, corrections: Mapping[str, Correction | None]) -> dict[str, dict[str, FloatArray]]:
    """|log(measured / predicted)| by metric and predictor; that of the base is the residual itself."""
    truth = {RUNTIME: tested.runtime, ENERGY: tested.energy}
    errors = {metric: {"base": np.abs(residual)} for metric, residual in truth.items()}
    for name, correction in corrections.items():
        if correction is not None:
            for metric, (mean, _) in correction.residuals(tested.jobs(correction.space)).items():
                errors[metric][name] = np.abs(truth[metric] - mean)
    return errors


def _kept(
    store: Store,
    result: RefitRound,
    recipe: Correction,
    jobs: Observed,
    errors: Mapping[str, Mapping[str, FloatArray]],
    now_s: float,
    who: str,
) -> RefitRound:
    """Write the recipe on all jobs down, and promote it where it was better."""
    training = {"jobs": len(jobs), "newest_s": float(jobs.ended_s[-1])}
    correction = train(jobs.measured, result.base_version, like=recipe, pretended=recipe.pretended, training=training)
    packed_model = packed(correction)
    models.add(store, _made(packed_model, correction, jobs, _said(result, errors), now_s))
    if result.outcome is not RefitOutcome.BETTER:
        return replace(result, version=packed_model.version)
    try:
        models.promote(store, packed_model.version, who=who, reason=result.reason[: models.MAX_REASON], now_s=now_s)
    except InputError as error:  # somebody else was first, or it is a try-out beside a real one
        return replace(result, version=packed_model.version, reason=f"{result.reason}; not promoted: {error}")
    return replace(result, version=packed_model.version, outcome=RefitOutcome.PROMOTED)


def _said(result: RefitRound, errors: Mapping[str, Mapping[str, FloatArray]]) -> dict[str, Any]:
    """What is kept of a comparison: its table, and the candidate's errors of run times, which drift is held against."""
    candidate_errors = np.sort(errors[RUNTIME]["candidate"]).round(4).tolist()
    table = [asdict(score) for score in result.scores]
    return {
        "table": table,
        "trained": result.trained,
        "tested": result.tested,
        "errors": candidate_errors,
        "said": result.reason,
    }


def _made(
    packed_model: Packed, correction: Correction, jobs: Observed, comparison: Mapping[str, Any], now_s: float
) -> models.Made:
    return models.Made(
        version=packed_model.version,
        base_version=correction.base_version,
        made_s=now_s,
        jobs=len(jobs),
        newest_job=jobs.job_id[-1],
        newest_s=float(jobs.ended_s[-1]),
        pretended=correction.pretended,
        scores=comparison,
        description=packed_model.description,
        tensors=packed_model.tensors,
    )

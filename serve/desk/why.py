"""Why a job waits, or why it got its type: the numbers that the policy went by, and what would have to change."""

from collections.abc import Mapping, Sequence
from typing import Any

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.units import HOUR_S, WHOLE
from kilowait.live.mirror import Mirror, PlacementChoice, TypeOption
from kilowait.policies import POLICIES
from kilowait.policies.limiting.power_reason import power_in_the_way
from kilowait.policies.wrappers.under_quotas import quota_in_the_way
from kilowait.simulate.outlook import Expected

from ..wire import why_schemas as wire
from .hold_desk.kept_jobs import kept_said
from .job_views import anchored_said, expected_view, prediction_said, steps_view

Row = Mapping[str, Any]
PARENTS_SAID = 3


def why(
    row: Row, mirror: Mirror, expected: Expected | None, basis: str | None, deadline: str | None, now_s: float
) -> wire.Why:
    """Why the job of a row is where it is."""
    job_id, cluster = row["job_id"], mirror.cluster
    waiting = cluster.entry(job_id)
    if waiting is not None:
        return _waits(row, waiting, job_id in cluster.stranded, mirror, expected, basis, deadline, now_s)
    return _placed(row, mirror, mirror.choices.get(job_id))


def _waits(
    row: Row,
    waiting: Waiting,
    stranded: bool,
    mirror: Mirror,
    expected: Expected | None,
    basis: str | None,
    deadline: str | None,
    now_s: float,
) -> wire.Why:
    name, larger_first, options = mirror.look(waiting)
    job, cluster = waiting.job, mirror.cluster
    reasons = {t: cluster.obstacle(job, waiting.predictions, t) for t in cluster.total}
    plan = cluster.kept.get(job.job_id)
    if stranded:
        changes = ["a node must join on which it fits: see not_possible for what each type lacks"]
    elif plan is not None or cluster.lines.dependents.parents.get(job.job_id):
        changes = []  # room that it lacks is not what it waits for, and the summary says what is
    else:
        changes = [_change(option, waiting, mirror, now_s) for option in options]
    behind = behind_its_array(waiting, cluster) or quota_in_the_way(cluster, waiting)
    behind = behind or power_in_the_way(cluster, waiting, now_s) or (plan and kept_said(plan))
    return wire.Why(
        job_id=job.job_id,
        state="waiting",
        policy=mirror.policy,
        rule=POLICIES[mirror.policy].sentence,
        criterion=name,
        larger_first=larger_first,
        at_s=now_s,
        summary=gave_way(waiting)
        + (behind or held(options, expected, now_s) or _summary(options, stranded, expected, now_s)),
        types=[
            _choice(option, chosen=expected is not None and option.gpu_type == expected.gpu_type) for option in options
        ],
        not_possible={t: reason for t, reason in reasons.items() if reason is not None},
        would_change=changes,
        expected=expected_view(expected, deadline),
        interval_basis=basis if expected is not None else None,
        prediction=prediction_said(row),
        dry_run=row["submitted"].dry_run,
        seen=anchored_said(waiting),
    )


def gave_way(waiting: Waiting) -> str:
    """That a job was preempted, and how much of it is left, before why it waits."""
    return (
        f"it gave way at a checkpoint, with {waiting.remaining:.0%} of its work left; " if waiting.remaining < 1 else ""
    )


def behind_its_array(waiting: Waiting, cluster: Cluster) -> str | None:
    """That a job may not run yet: it runs after others, or stands behind others of its array; None where it may."""
    parents = cluster.lines.dependents.parents.get(waiting.job.job_id)
    if parents:
        first = ", ".join(f"{one} ({'runs' if one in cluster.active else 'waits'})" for one in parents[:PARENTS_SAID])
        more = f" and {len(parents) - PARENTS_SAID} more" if len(parents) > PARENTS_SAID else ""
        return f"it runs after {first}{more}, once {'they are' if len(parents) > 1 else 'that is'} over"
    task = waiting.job.array
    if task is None or cluster.lines.get(waiting.job.job_id) is None:
        return None
    return f"it is not its turn: of {task.array_id} at most {task.at_once} tasks run at once, and others come first"


def _summary(options: Sequence[TypeOption], stranded: bool, expected: Expected | None, now_s: float) -> str:
    if stranded:
        return "it fits on no node that is here now"
    if not any(option.fits for option in options):
        text = "no type that it may use has enough free GPUs"
    elif any(option.fits and not option.ahead for option in options):
        text = "it is about to start, or the policy keeps the free GPUs for another type or job"
    else:
        text = "the policy puts other jobs first on the types that have enough free GPUs"
    if expected is None:
        return text + "; no start can be foreseen"
    return text + f"; expected on {expected.gpu_type} in {duration(expected.start_s - now_s)}"


def held(options: Sequence[TypeOption], expected: Expected | None, now_s: float) -> str | None:
    """What a job is held for, in a sentence: the type, what that saves, and when it would start elsewhere.

    None where no other type has room for it now, and where nothing is saved by waiting.
    """
    if expected is None or expected.start_s <= now_s:
        return None
    free = [option for option in options if option.fits and option.gpu_type != expected.gpu_type]
    if not free:
        return None
    other = min(free, key=lambda option: option.energy_kwh)
    saved_kwh = other.energy_kwh - expected.energy_kwh
    if saved_kwh <= 0:
        return None
    sooner_s = expected.end_s - now_s - other.runtime_s
    ends = f"{duration(abs(sooner_s))} {'sooner' if sooner_s > 0 else 'later'}"
    return (
        f"it is held for {expected.gpu_type}, expected in {duration(expected.start_s - now_s)}: that saves "
        f"{saved_kwh:.3g} kWh ({saved_kwh / other.energy_kwh:.0%}) against {other.gpu_type}, where it fits now and "
        f"would end {ends}"
    )


def _change(option: TypeOption, waiting: Waiting, mirror: Mirror, now_s: float) -> str:
    """What a type lacks, and when what runs there is predicted to end."""
    gpu_type = option.gpu_type
    first = f"{option.ahead} waiting jobs come before it there" if option.ahead else "no waiting job comes before it"
    if option.fits:
        return f"{gpu_type}: {option.free} of {option.total} are free and it needs {option.gpus}; {first}"
    missing, freed = (option.gpus - option.free) * WHOLE, 0
    for count, (end_s, milli) in enumerate(mirror.cluster.predicted_ends().get(gpu_type, ()), 1):
        freed += milli
        if freed >= missing:
            end_estimate = f"predicted in {duration(end_s - now_s)}" if end_s > now_s else "overdue by its prediction"
            ends = "the next job" if count == 1 else f"the next {count} jobs"
            return (
                f"{gpu_type}: {option.free} of {option.total} are free and it needs {option.gpus}; {ends} there must "
                f"end ({end_estimate}); {first}"
            )
    return f"{gpu_type}: {option.free} of {option.total} are free and it needs {option.gpus}; others hold the rest"


def _placed(row: Row, mirror: Mirror, choice: PlacementChoice | None) -> wire.Why:
    """Why a job that runs or is over got its type."""
    options = () if choice is None else choice.options
    active = mirror.cluster.active.get(row["job_id"])
    return wire.Why(
        job_id=row["job_id"],
        state=row["state"],
        policy=mirror.policy,
        rule=POLICIES[mirror.policy].sentence,
        criterion=None if choice is None else choice.criterion,
        larger_first=choice is None or choice.larger_first,
        at_s=row["submitted_s"] if choice is None else choice.time_s,
        summary=_was_placed(choice),
        types=[_choice(option, chosen=choice is not None and option.gpu_type == choice.gpu_type) for option in options],
        not_possible={},
        would_change=[] if choice is None else _otherwise(choice),
        expected=None,
        interval_basis=None,
        prediction=prediction_said(row),
        dry_run=row["submitted"].dry_run,
        seen=None if active is None else anchored_said(active),
        steps=None if active is None else steps_view(active),
    )


def _was_placed(choice: PlacementChoice | None) -> str:
    if choice is None:
        return "it was never placed, or so long ago that the choice is forgotten"
    fitting = [option for option in choice.options if option.fits]
    if len(fitting) == 1:
        return f"{choice.gpu_type} was the only type that it may use with enough free GPUs"
    if choice.criterion is None:
        return f"{len(fitting)} types had enough free GPUs; the rule of {choice.gpu_type} came first"
    best = "largest" if choice.larger_first else "smallest"
    ratings = {option.gpu_type: option.rating for option in fitting if option.rating is not None}
    best_type = (max if choice.larger_first else min)(ratings, key=lambda t: ratings[t], default=None)
    if best_type == choice.gpu_type:
        return f"of the {len(fitting)} types with enough free GPUs, {choice.gpu_type} had the {best} {choice.criterion}"
    return f"{len(fitting)} types had enough free GPUs; the rule chose {choice.gpu_type}"


def _otherwise(choice: PlacementChoice) -> list[str]:
    """What would have had to be different for each other type."""
    placed = next(option for option in choice.options if option.gpu_type == choice.gpu_type)
    reasons = []
    for option in choice.options:
        if option.gpu_type == choice.gpu_type:
            continue
        missing = option.gpus - option.free
        if missing > 0:
            reasons.append(f"{option.gpu_type}: {missing} more free GPU{'s' if missing > 1 else ''}")
        elif option.rating is not None and placed.rating is not None:
            direction = "above" if choice.larger_first else "below"
            reasons.append(f"{option.gpu_type}: a rating {direction} {placed.rating:.4g}; it was {option.rating:.4g}")
    return reasons


def _choice(option: TypeOption, *, chosen: bool) -> wire.ChoiceView:
    return wire.ChoiceView(
        gpu_type=option.gpu_type,
        gpus=option.gpus,
        free=option.free,
        total=option.total,
        fits=option.fits,
        runtime_s=option.runtime_s,
        energy_kwh=option.energy_kwh,
        rating=option.rating,
        ahead=option.ahead,
        chosen=chosen,
    )


def duration(seconds: float) -> str:
    """A span of time as people say it."""
    if seconds < 90:
        return f"{max(0.0, seconds):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / HOUR_S:.1f} h"

"""A job that is kept for better hours: until when, and what that saves, in numbers and in a sentence."""

from datetime import UTC, datetime

from kilowait.cluster.standing import Postponed
from kilowait.core.jobs import Provenance

from ...wire import schemas

_SAID = {"carbon": "CO2", "water": "water", "price": "money"}


def kept_view(plan: Postponed | None) -> schemas.PostponedView | None:
    """For the wire, None where a job is not kept."""
    if plan is None:
        return None
    return schemas.PostponedView(
        until_s=plan.until_s,
        since_s=plan.since_s,
        gpu_type=plan.gpu_type,
        summary=kept_said(plan),
        amounts={name: _modelled(then) for name, (_, then) in plan.amounts.items()},
        at_once={name: _modelled(now) for name, (now, _) in plan.amounts.items()},
    )


def kept_said(plan: Postponed) -> str:
    """As in: held until 2026-12-01 02:00 UTC: 31% less CO2 (forecast) on A100-80GB than at once, 42 g."""
    said = "; ".join(filter(None, (_saved(name, *both) for name, both in plan.amounts.items())))
    return f"held until {_at(plan.until_s)} on {plan.gpu_type}: {said or 'its energy costs less then (forecast)'}"


def _saved(name: str, now: float, then: float) -> str:
    """What a signal says of it; nothing where that is no share."""
    if now <= 0:
        return ""
    change = "less" if then <= now else "more"
    share, since = abs(1 - then / now), "than at once"
    return f"{share:.0%} {change} {_SAID[name]} (forecast) {since}, {_amount(name, then)}"


def _amount(name: str, value: float) -> str:
    if name == "carbon":
        grams = f"{value:,.0f}" if value >= 10 else f"{value:.2g}"
        return f"{grams} g" if value < 1000 else f"{value / 1000:,.2f} kg"
    return f"{value:.3g} L" if name == "water" else f"{value:.3g} USD"


def _modelled(value: float) -> schemas.Figure:
    return schemas.Figure(value=value, provenance=Provenance.MODELLED)


def _at(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M UTC")

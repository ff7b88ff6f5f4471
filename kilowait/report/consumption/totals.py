"""Sums over attempts: of all, of each owner, group, project, GPU type or job."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kilowait.core.jobs import Provenance
from kilowait.report.consumption.attempt_use import AttemptUse
from kilowait.report.consumption.use_rates import Rates, rated_use

AMOUNTS = ("co2_kg", "water_l", "gpu_cost", "energy_cost")
UNNAMED = "(none)"
"""What stands for jobs without the label."""
Key = Callable[[AttemptUse], str]


def total(uses: Sequence[AttemptUse], rates: Rates) -> dict[str, Any]:
    """Jobs, attempts, GPU-hours (those that ended badly too), kWh by provenance, and what is counted of them.

    An amount is None where no attempt has it, and the sum of those that do where some have.
    """
    rated = [rated_use(use, rates) for use in uses]
    amounts = {name: [part for one in rated if (part := getattr(one, name)) is not None] for name in AMOUNTS}
    return {
        "jobs": len({use.job_id for use in uses}),
        "attempts": len(uses),
        "gpu_hours": sum(use.gpu_hours for use in uses),
        "failed_gpu_hours": sum(use.gpu_hours for use in uses if use.reason is not None),
        "energy_kwh": _energy_kwh(uses),
        **{name: sum(parts) if parts else None for name, parts in amounts.items()},
        "kwh_without_carbon": sum(one.energy_kwh - one.carbon_kwh for one in rated),
        "gpu_hours_without_price": sum(
            use.gpu_hours for use, one in zip(uses, rated, strict=True) if one.gpu_cost is None
        ),
    }


def _energy_kwh(uses: Iterable[AttemptUse]) -> dict[str, float]:
    """kWh by how they were had; measured, estimated and modelled always, pretended where there are some."""
    sums = dict.fromkeys((Provenance.MEASURED, Provenance.ESTIMATED, Provenance.MODELLED), 0.0)
    for use in uses:
        sums[use.energy_provenance] = sums.get(use.energy_provenance, 0.0) + use.energy_kwh
    return {str(kind): kwh for kind, kwh in sums.items()}


def totals_by(uses: Sequence[AttemptUse], key: Key, rates: Rates) -> dict[str, dict[str, Any]]:
    """The sums of each group, the one of the most GPU-hours first."""
    groups: dict[str, list[AttemptUse]] = {}
    for use in uses:
        groups.setdefault(key(use), []).append(use)
    found = {name: total(group, rates) for name, group in groups.items()}
    return dict(sorted(found.items(), key=lambda item: -item[1]["gpu_hours"]))


def by_label(label: str) -> Key:
    """Groups jobs by what a label says."""
    return lambda use: use.labels.get(label) or UNNAMED

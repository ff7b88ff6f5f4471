"""The report of a month, or of some jobs, as JSON takes it: what `kilowait report` writes and shows."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from kilowait.report.consumption.attempt_use import AttemptUse
from kilowait.report.consumption.remedies import findings
from kilowait.report.consumption.totals import by_label, total, totals_by
from kilowait.report.consumption.use_rates import Rates

GROUP, PROJECT = "group", "project"
"""The labels that these are read from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageSelection:
    """Which attempts: by owner, labels, job ids, and the span of time of which the parts are counted."""

    owner: str | None = None
    labels: Mapping[str, str]
    job_ids: frozenset[str] | None = None
    from_s: float = float("-inf")
    until_s: float = float("inf")

    def of(self, uses: Sequence[AttemptUse]) -> list[AttemptUse]:
        """Those that are meant, each with its part of the span."""
        meant = [use for use in uses if self._means(use)]
        return [part for use in meant if (part := use.within(self.from_s, self.until_s)) is not None]

    def _means(self, use: AttemptUse) -> bool:
        owned = self.owner is None or use.owner == self.owner
        listed = self.job_ids is None or use.job_id in self.job_ids
        return owned and listed and all(use.labels.get(name) == text for name, text in self.labels.items())


def usage_report(uses: Sequence[AttemptUse], rates: Rates, heading: str) -> dict[str, Any]:
    """Sums of all, by owner, group, project and GPU type, of each job, and what jobs asked for in vain."""
    keys = {
        "owner": lambda use: use.owner,
        GROUP: by_label(GROUP),
        PROJECT: by_label(PROJECT),
        "gpu_type": lambda use: use.gpu_type,
        "job": lambda use: use.job_id,
    }
    everything = total(uses, rates)
    return {
        "heading": heading,
        "total": everything,
        "by": {name: totals_by(uses, key, rates) for name, key in keys.items()},
        "findings": [asdict(finding) for finding in findings(uses)],
        "basis": [*basis(rates), *_by_signals(uses, rates), *_missing(everything)],
        "currency": rates.currency,
    }


def basis(rates: Rates) -> list[str]:
    """What the numbers rest on, a line each."""
    lines = [
        "GPU-hours: boards held, from placement to end, of attempts that have ended; a share of a board counts as one",
        "energy of GPU boards; modelled: predicted watts times the hours held, where no meter read them",
    ]
    if rates.carbon:
        lines.append(f"CO2: location-based, source: {rates.carbon.source}; times a PUE of {rates.pue:g}")
    if rates.water_l_per_kwh is not None:
        lines.append(f"water: {rates.water_l_per_kwh:g} litres a kWh of the GPUs, source: {rates.water_source}")
    if rates.price_per_kwh is not None:
        lines.append(f"energy cost: {rates.price_per_kwh:g} {rates.currency} a kWh, times a PUE of {rates.pue:g}")
    return lines


def _by_signals(uses: Sequence[AttemptUse], rates: Rates) -> list[str]:
    """Which amounts are those that the site's signals made of attempts, as the history has them."""
    given = {"carbon_g": rates.carbon, "water_l": rates.water_l_per_kwh, "electricity_usd": rates.price_per_kwh}
    said = {"carbon_g": "CO2", "water_l": "water", "electricity_usd": "energy cost"}
    seen = [name for name, rate in given.items() if rate is None and any(name in use.amounts for use in uses)]
    history = "as the history has it, measured energy by the hours of the site's signals"
    return [
        f"{said[name]}: {history}" + ("" if name == "water_l" else f"; times a PUE of {rates.pue:g}") for name in seen
    ]


def _missing(sums: Mapping[str, Any]) -> list[str]:
    """What could not be counted."""
    lines = []
    if sums["co2_kg"] is not None and sums["kwh_without_carbon"] > 1e-9:
        lines.append(f"{sums['kwh_without_carbon']:.3g} kWh lie outside the signal of CO2 and count none")
    if sums["gpu_cost"] is not None and sums["gpu_hours_without_price"] > 0:
        lines.append(f"{sums['gpu_hours_without_price']:.3g} GPU-hours are of types without a price and cost nothing")
    return lines

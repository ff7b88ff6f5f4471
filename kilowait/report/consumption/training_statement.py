"""What a training took, in the terms of Annex XI, Section 1, point 2 (d) and (e), of Regulation (EU) 2024/1689.

(d) asks for the computational resources of a training, its time and details; (e) for the known or estimated energy
consumption of the model, which may be based on the computational resources where it is not known. This is what a
history knows of both: it is no legal advice, and leaves out what ran elsewhere.
"""

from collections.abc import Sequence
from typing import Any

from kilowait.core.jobs import Provenance
from kilowait.core.units import HOUR_S
from kilowait.report.consumption.attempt_use import AttemptUse
from kilowait.report.consumption.totals import total
from kilowait.report.consumption.use_rates import Rates

METHODS = {
    Provenance.MEASURED: "known: read from the boards' own counters or power sensors while the job ran",
    Provenance.ESTIMATED: "estimated: a power that was not read on these boards times the measured time",
    Provenance.MODELLED: "estimated from computational resources: predicted watts times the hours that GPUs were held",
    Provenance.PRETENDED: "no energy at all: of a test on pretended GPUs",
}
NOT_COVERED = (
    "Only GPU boards are counted: hosts, network, storage and cooling are not, unless a PUE above 1 is given.",
    "Only jobs in this history are counted: experiments, data preparation and inference elsewhere are not.",
    "Floating point operations are not recorded in the history.",
)


def training_statement(name: str, uses: Sequence[AttemptUse], rates: Rates) -> dict[str, Any]:
    """The statement as JSON takes it, of all attempts of the jobs that made a model."""
    sums = total(uses, rates)
    kwh = sums["energy_kwh"]
    used = [kind for kind in Provenance if kwh.get(kind, 0.0) > 0]
    real_kwh = sum(kwh.get(kind, 0.0) for kind in used if kind != Provenance.PRETENDED)
    return {
        "model": name,
        "jobs": sorted({use.job_id for use in uses}),
        "point_2d": {
            "gpus": _gpus(uses),
            "gpu_hours": sums["gpu_hours"],
            "first_start_s": min(use.start_s for use in uses),
            "last_end_s": max(use.end_s for use in uses),
            "training_hours": _covered_s(uses) / HOUR_S,
            "failed_gpu_hours": sums["failed_gpu_hours"],
        },
        "point_2e": {
            "energy_kwh": real_kwh,
            "energy_mwh": real_kwh / 1000,
            "with_pue_kwh": real_kwh * rates.pue,
            "pue": rates.pue,
            "kind": "known" if used == [Provenance.MEASURED] else "estimated",
            "by_method": [_method(kind, kwh[kind], uses) for kind in used],
        },
        "beside": {key: sums[key] for key in ("co2_kg", "water_l", "kwh_without_carbon")},
        "not_covered": list(NOT_COVERED),
    }


def _method(kind: Provenance, kwh: float, uses: Sequence[AttemptUse]) -> dict[str, Any]:
    meters = sorted({use.meter for use in uses if use.energy_provenance == kind and use.meter})
    return {"provenance": str(kind), "energy_kwh": kwh, "method": METHODS[kind], "meters": meters}


def _gpus(uses: Sequence[AttemptUse]) -> dict[str, int]:
    """The most boards of each type that one attempt had."""
    most: dict[str, int] = {}
    for use in uses:
        most[use.gpu_type] = max(most.get(use.gpu_type, 0), use.gpus)
    return most


def _covered_s(uses: Sequence[AttemptUse]) -> float:
    """Seconds during which at least one attempt ran."""
    seconds, until_s = 0.0, float("-inf")
    for use in sorted(uses, key=lambda use: use.start_s):
        seconds += max(0.0, use.end_s - max(use.start_s, until_s))
        until_s = max(until_s, use.end_s)
    return seconds

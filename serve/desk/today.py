"""What today's jobs used, beside the rule Simple, and how good their predictions were; remembered until a job ends."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kilowait.core.jobs import Provenance
from kilowait.core.units import DAY_S, JOULES_PER_KWH
from kilowait.simulate.against_simple import Against, against_simple

from ..wire.page_schemas import AccuracyPoint, Today
from ..wire.schemas import Figure
from . import questions
from .answers import was_predicted
from .desk import Desk

MOST_ROWS = 5000
LOOK_S = 5.0
"""How old the comparison may be once another job has ended."""

SHOWN = 50
"""Finished jobs whose prediction is shown beside what was had."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The rows of the day, and their comparison."""

    finished: int
    since_s: float
    rows: Sequence[Row]
    against: Against


class Days:
    """Today's comparison over a desk, computed anew once a job has ended or the day has."""

    def __init__(self, desk: Desk) -> None:
        self._desk, self._lock, self._day = desk, asyncio.Lock(), None
        self._looked_s = 0.0

    async def day(self) -> Day:
        """Today as it is now, since midnight UTC."""
        async with self._lock:
            mirror, since_s = await self._desk.mirror(), time.time() // DAY_S * DAY_S
            finished = mirror.finished + mirror.failed + mirror.cancelled
            today: Day | None = self._day
            old = today is None or time.monotonic() - self._looked_s > LOOK_S
            if today is None or (old and (today.finished, today.since_s) != (finished, since_s)):
                self._looked_s = time.monotonic()
                rows = await self._desk.ask(questions.ended, None, ("", 0), since_s, MOST_ROWS)
                requests = await self._desk.ask(questions.asked, [row["job_id"] for row in rows])
                inventory = {t: n for t, n in mirror.cluster.total.items() if n}
                comparison = await asyncio.to_thread(against_simple, rows, requests, inventory)
                self._day = today = Day(finished=finished, since_s=since_s, rows=rows, against=comparison)
            return today


def today_view(day: Day) -> Today:
    """Energy since midnight for the wire."""
    metered = [row for row in day.rows if row["energy_j"] is not None]
    comparison = day.against
    return Today(
        since_s=day.since_s,
        jobs=len({row["job_id"] for row in day.rows}),
        compared_jobs=comparison.jobs,
        energy_kwh=sum(row["energy_j"] for row in metered) / JOULES_PER_KWH,
        energy_provenance=sorted({Provenance(row["energy_provenance"]) for row in metered}),
        compared_energy_kwh=comparison.energy_kwh,
        simple_energy_kwh=comparison.simple_energy_kwh,
        saved_kwh=comparison.simple_energy_kwh - comparison.energy_kwh,
        wait_s=comparison.wait_s,
        simple_wait_s=comparison.simple_wait_s,
    )


def accuracy_view(rows: Sequence[Row], owner: str | None) -> list[AccuracyPoint]:
    """The last finished jobs, one's own (None: everybody's), latest first."""
    finished = [
        row for row in rows if row["state"] == "finished" and was_predicted(row) and owner in (None, row["owner"])
    ]
    return [
        AccuracyPoint(
            job_id=row["job_id"],
            gpu_type=row["gpu_type"],
            predicted_s=row["predicted_runtime_s"],
            measured_s=Figure(value=row["runtime_s"], provenance=row["runtime_provenance"]),
        )
        for row in sorted(finished, key=lambda row: -row["ended_s"])[:SHOWN]
    ]


def errors_view(rows: Sequence[Row]) -> dict[str, float] | None:
    """Quantiles of |predicted - had| / had over finished jobs, None without one."""
    finished = [row for row in rows if row["state"] == "finished" and was_predicted(row)]
    if not finished:
        return None
    shares = [abs(row["predicted_runtime_s"] - row["runtime_s"]) / row["runtime_s"] for row in finished]
    return {name: float(np.quantile(shares, q)) for name, q in (("0.5", 0.5), ("0.9", 0.9))}


def factor_view(rows: Sequence[Row]) -> Figure | None:
    """The factor within which half of the predictions of run times were, None where no job has finished."""
    finished = [row for row in rows if row["state"] == "finished" and was_predicted(row)]
    if not finished:
        return None
    logs = [abs(np.log(row["predicted_runtime_s"] / row["runtime_s"])) for row in finished]
    return Figure(value=float(np.exp(np.median(logs))), provenance=how_had(finished))


def how_had(rows: Sequence[Row]) -> Provenance:
    """The weakest provenance among the rows' run times: pretended if any is."""
    kinds = {row["runtime_provenance"] for row in rows if row["runtime_provenance"]}
    order = (Provenance.PRETENDED, Provenance.MODELLED, Provenance.ESTIMATED)
    return next((kind for kind in order if kind in kinds), Provenance.MEASURED)

"""What one attempt of a job used, from a row of the history (`kilowait.files.columns.HISTORY`)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import isfinite
from typing import Any

import msgspec

from kilowait.core.errors import InputError
from kilowait.core.jobs import Provenance
from kilowait.core.units import HOUR_S, JOULES_PER_KWH

AMOUNTS = ("carbon_g", "water_l", "electricity_usd")


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptUse:
    """Boards of a type held from `start_s` to `end_s`, seconds since the epoch; a share of a board counts as one.

    `energy_provenance` says how `energy_kwh` was had: modelled is the predicted power times the time that the GPUs were
    held, where nothing read it. `memory_bytes` is the peak on one board, None where nothing read it. `reason` is why it
    ended badly, None where it did not. `amounts` are what it came to by the signals of its site: `carbon_g`, `water_l`,
    `electricity_usd`.
    """

    job_id: str
    attempt: int
    owner: str
    labels: Mapping[str, str]
    gpu_type: str
    gpus: int
    start_s: float
    end_s: float
    energy_kwh: float
    energy_provenance: Provenance
    meter: str
    memory_bytes: float | None
    reason: str | None
    predicted_s: float
    runtime_s: float | None
    amounts: Mapping[str, float] = field(default_factory=dict)

    @property
    def gpu_hours(self) -> float:
        """Boards times hours."""
        return self.gpus * (self.end_s - self.start_s) / HOUR_S

    @property
    def watts(self) -> float | None:
        """Mean watts of one board, None for no time."""
        return self.energy_kwh * 1000 / self.gpu_hours if self.gpu_hours > 0 else None

    def within(self, from_s: float, until_s: float) -> "AttemptUse | None":
        """The part of it in a span of time, its energy spread evenly; None where there is none."""
        start_s, end_s = max(self.start_s, from_s), min(self.end_s, until_s)
        if start_s >= end_s:
            return self if self.start_s == self.end_s and from_s <= self.end_s < until_s else None
        share = (end_s - start_s) / (self.end_s - self.start_s)
        amounts = {name: amount * share for name, amount in self.amounts.items()}
        return replace(self, start_s=start_s, end_s=end_s, energy_kwh=self.energy_kwh * share, amounts=amounts)


class _Written(msgspec.Struct, kw_only=True):
    """A row as it is read, from a database or as text of a CSV file."""

    job_id: str
    attempt: int
    owner: str
    labels: str = ""
    gpu_type: str
    gpus: int
    placed_s: float
    ended_s: float
    reason: str | None = None
    predicted_runtime_s: float
    predicted_energy_j: float
    runtime_s: float | None = None
    energy_j: float | None = None
    energy_provenance: Provenance | None = None
    meter: str | None = None
    gpu_memory_bytes: float | None = None
    carbon_g: float | None = None
    water_l: float | None = None
    electricity_usd: float | None = None


def attempt_uses(rows: Iterable[Mapping[str, Any]]) -> list[AttemptUse]:
    """Rows of the history as they are used; raises InputError, with the row's number, for one that is none."""
    return [_use(number, row) for number, row in enumerate(rows, 1)]


def _use(number: int, row: Mapping[str, Any]) -> AttemptUse:
    given = {str(name): value for name, value in row.items() if value is not None and value != ""}  # quoted names
    try:
        written = msgspec.convert(given, _Written, strict=False)
        labels = msgspec.json.decode(written.labels or "{}", type=dict[str, str])
    except msgspec.ValidationError as error:
        raise InputError(f"row {number} of the history: {error}; export it with: kilowait history") from error
    except msgspec.DecodeError as error:
        raise InputError(f"row {number} of the history, column labels: no JSON object ({error})") from error
    _check_numbers(f"row {number} of the history", written)
    # Accounts of other schedulers know how long a job took and when it ended, and not when it was placed.
    held_s = max(written.ended_s - written.placed_s, written.runtime_s or 0.0)
    energy_kwh, provenance = _energy(written, held_s)
    return AttemptUse(
        job_id=written.job_id,
        attempt=written.attempt,
        owner=written.owner,
        labels=labels,
        gpu_type=written.gpu_type,
        gpus=written.gpus,
        start_s=written.ended_s - held_s,
        end_s=written.ended_s,
        energy_kwh=energy_kwh,
        energy_provenance=provenance,
        meter=written.meter or "",
        memory_bytes=written.gpu_memory_bytes,
        reason=written.reason,
        predicted_s=written.predicted_runtime_s,
        runtime_s=written.runtime_s,
        amounts={name: amount for name in AMOUNTS if (amount := getattr(written, name)) is not None},
    )


def _check_numbers(where: str, written: _Written) -> None:
    """Raises InputError: one that is not finite, or a run of no time, would make sums that say nothing."""
    times = ("placed_s", "ended_s", "predicted_runtime_s", "predicted_energy_j", "runtime_s", "energy_j")
    for name in (*times, *AMOUNTS):
        value = getattr(written, name)
        if value is not None and not isfinite(value):
            raise InputError(f"{where}, column {name}: must be finite, got {value}")
    if written.predicted_runtime_s <= 0:
        raise InputError(f"{where}, column predicted_runtime_s: must be > 0, got {written.predicted_runtime_s}")


def _energy(written: _Written, held_s: float) -> tuple[float, Provenance]:
    """kWh and how they were had; a meter that says 0 has not read anything."""
    if written.energy_j and written.energy_provenance:
        return written.energy_j / JOULES_PER_KWH, written.energy_provenance
    joules = written.predicted_energy_j / written.predicted_runtime_s * held_s
    return joules / JOULES_PER_KWH, Provenance.MODELLED

"""One run of a script on a device, as it is journalled and tabled (`kilowait.files.columns.RUNS`)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """Something a script runs alone on: `threads` CPU threads, or (threads None) the GPU with this UUID.

    `device_id` is the NVML UUID, or the host's name for a CPU; `driver` the NVIDIA driver.
    """

    device_type: str
    device_id: str
    device_name: str
    threads: int | None = None
    driver: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRun:
    """A row of the runs table; the fields are the table's columns."""

    content_hash: str
    path: str
    device_type: str
    device_id: str
    attempt: int
    started_at: datetime
    exit_code: int
    failure: str | None
    startup_s: float | None
    warmup_s: float | None
    steady_s: float | None
    runtime_s: float | None
    energy_j: float | None
    power_mean_w: float | None
    power_peak_w: float | None
    peak_memory_bytes: int | None
    runtime_provenance: str
    energy_provenance: str | None
    meter: str | None
    host: str
    device_name: str
    driver: str | None
    versions: str

    def row(self) -> Mapping[str, object]:
        """The run by column name."""
        return asdict(self)

    def to_json(self) -> str:
        """One line of JSON; the time in ISO 8601."""
        return json.dumps({**self.row(), "started_at": self.started_at.isoformat()})

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        """The inverse of `to_json`; raises ValueError, KeyError or TypeError on anything else."""
        values = json.loads(line)
        return cls(**{**values, "started_at": datetime.fromisoformat(values["started_at"])})

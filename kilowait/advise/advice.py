"""What a user is told about a job before it runs: by GPU type how long, how much memory, what cost, from when."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kilowait.core.jobs import Prediction

NUMBERS = ("runtime_s", "runtime_low_s", "runtime_high_s", "energy_kwh", "energy_low_kwh", "energy_high_kwh")
"""What of a prediction is handed on: by a service, in the ledger, in a history."""
PREFERENCES = ("time", "energy")
"""By what a type may be the best where waits and costs are not known."""
TOO_LARGE = "does not fit"
"""What stands in `OnType.fitting` where the memory of a type is too small whatever the interval says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedWait:
    """Seconds until a job starts if it is submitted now, with the ends of a 90% interval (None: not known)."""

    wait_s: float
    low_s: float | None = None
    high_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OnType:
    """A job on one GPU type.

    `fitting` is `fits`, `close` or `does not fit`, "" where nothing is known. `memory_bytes` is what it needs on each
    GPU and `memory_high_bytes` the upper end of that, `cost` what `kilowait.cli.costs` makes of a price, `provenance`
    how the numbers were had, in words.
    """

    prediction: Prediction
    provenance: str = ""
    fitting: str = ""
    memory_bytes: float | None = None
    memory_high_bytes: float | None = None
    cost: Mapping[str, Any] = field(default_factory=dict)
    wait: ExpectedWait | None = None

    def takes(self, prefer: str) -> float:
        """Expected kWh where energy is preferred, else seconds."""
        return self.prediction.energy_kwh if prefer == "energy" else self.prediction.runtime_s

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {
            **{name: getattr(self.prediction, name) for name in NUMBERS},
            "provenance": self.provenance,
            "fitting": self.fitting,
            "memory_bytes": self.memory_bytes,
            "memory_high_bytes": self.memory_high_bytes,
            **({"cost": dict(self.cost)} if self.cost else {}),
            **({"wait_s": self.wait.wait_s, "wait_low_s": self.wait.low_s} if self.wait else {}),
            **({"wait_high_s": self.wait.high_s} if self.wait else {}),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Advice:
    """Everything that is known of a job: `gpus` that it takes, the types that it asks for (None: any), and by type.

    `assumptions` are what the numbers rest on, a line each; `beside` what its script runs that no number covers.
    `vector` is the embedding of its source, () where the answer came without one.
    """

    program: str
    content_hash: str
    gpus: int
    gpu_types: frozenset[str] | None
    by_type: Mapping[str, OnType]
    dry_run: str = ""
    assumptions: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    evidence: tuple[str, ...] = ()
    version: str = ""
    vector: tuple[float, ...] = ()

    @property
    def advice_id(self) -> str:
        """The same for the same program, GPUs and numbers; 16 hexadecimal digits."""
        times = {name: (on.prediction.runtime_s, on.prediction.energy_kwh) for name, on in self.by_type.items()}
        record = [self.content_hash, self.gpus, self.version, times]
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:16]

    def that_fit(self, gpu_types: Iterable[str]) -> list[str]:
        """Those of these types that are predicted, and whose memory may be enough."""
        return [name for name in gpu_types if name in self.by_type and self.by_type[name].fitting != TOO_LARGE]

    def to_dict(self) -> dict[str, Any]:
        """As JSON takes it; the embedding is left out."""
        return {
            "advice_id": self.advice_id,
            "program": self.program,
            "content_hash": self.content_hash,
            "gpus": self.gpus,
            "gpu_types": None if self.gpu_types is None else sorted(self.gpu_types),
            "by_type": {name: on.to_dict() for name, on in self.by_type.items()},
            "dry_run": self.dry_run,
            "assumptions": list(self.assumptions),
            "beside": list(self.beside),
            "evidence": list(self.evidence),
            "version": self.version,
        }

"""What is asked of a launching process and what it answers, as JSON lines.

All clock values are seconds of `time.perf_counter`, which on Linux is one clock for every process of the machine.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Self


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One script to run alone: `threads` None leaves torch's default, no `cores` leaves the affinity."""

    script: str
    timeout_s: float
    threads: int | None = None
    cores: tuple[int, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The inverse of `to_json`."""
        values = json.loads(line)
        return cls(**{**values, "cores": tuple(values["cores"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """How one run went: when it was forked, started its first line, finished its first step, and ended.

    `exit_code` is negative for a signal; `failure` is None on success. `step_s` is None where no step was seen,
    `started_s` None where the script's first line was never reached. `cpu_s` is user plus system time of the
    process and the children it waited for; `peak_memory_bytes` its largest resident set. `preempted` says that it was
    asked to write a checkpoint and end, before it ended.
    """

    exit_code: int
    failure: str | None
    forked_s: float
    started_s: float | None
    step_s: float | None
    ended_s: float
    cpu_s: float
    peak_memory_bytes: int
    preempted: bool = False

    @property
    def startup_s(self) -> float | None:
        """Seconds from the fork to the script's first line."""
        return None if self.started_s is None else self.started_s - self.forked_s

    @property
    def warmup_s(self) -> float | None:
        """Seconds from the first line to the end of the first step."""
        return None if self.started_s is None or self.step_s is None else self.step_s - self.started_s

    @property
    def steady_s(self) -> float | None:
        """Seconds from the end of the first step, or from the first line where no step was seen, to the exit."""
        begun_s = self.step_s if self.step_s is not None else self.started_s
        return None if begun_s is None else self.ended_s - begun_s

    @property
    def runtime_s(self) -> float | None:
        """Seconds from the script's first line to the process's exit: the label."""
        return None if self.started_s is None else self.ended_s - self.started_s

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The inverse of `to_json`."""
        return cls(**json.loads(line))

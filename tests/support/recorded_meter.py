"""A meter that replays a recorded trace: for tests without hardware."""

from collections.abc import Sequence
from dataclasses import dataclass

from kilowait.core.jobs import Provenance
from kilowait.measure.meters import MeterReading, PowerSample, read_trace, window_of
from kilowait.measure.outcome import RunOutcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedMeter:
    """Replays a trace, its times relative to the script's first line."""

    samples: Sequence[PowerSample]

    def start(self) -> None:
        """Nothing to watch."""

    def finish(self, outcome: RunOutcome) -> MeterReading:
        """Charge the whole runtime against the recording."""
        start_s, end_s = window_of(outcome)
        pretended = Provenance.PRETENDED
        return read_trace(self.samples, 0.0, end_s - start_s, provenance=pretended, prefix="recorded")

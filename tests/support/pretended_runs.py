"""Runs that nobody made, for tests of what is done with runs."""

from datetime import UTC, datetime
from pathlib import Path

from kilowait.lab.label.campaign import Script
from kilowait.measure.measured_run import MeasuredRun

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def run_of(runtime_s, *, failure=None, content="h", device_type="cpu-1", device_id="here", attempt=1, energy_j=1.0):
    return MeasuredRun(
        content_hash=content,
        path="a.py",
        device_type=device_type,
        device_id=device_id,
        attempt=attempt,
        started_at=NOON,
        exit_code=0 if failure is None else 1,
        failure=failure,
        startup_s=0.01,
        warmup_s=None,
        steady_s=runtime_s,
        runtime_s=runtime_s,
        energy_j=energy_j,
        power_mean_w=None,
        power_peak_w=None,
        peak_memory_bytes=None,
        runtime_provenance="pretended",
        energy_provenance="pretended",
        meter="recorded",
        host="here",
        device_name="pretended",
        driver=None,
        versions="{}",
    )


def runs_of(*runtimes):
    return [run_of(1.0, failure="broke") if t is None else run_of(t) for t in runtimes]


def script_of(name):
    return Script(content_hash=name, path=f"{name}.py", file=Path(f"{name}.py"), family="f", group="g", style="flat")

"""Run a script alone on a device, under a meter, and say what happened.

Not covered: programs over several GPUs, and MIG slices of one.
"""

import fcntl
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Self, cast

import kilowait
from kilowait.core.errors import InputError, MeterError
from kilowait.core.jobs import Provenance
from kilowait.measure.measured_run import Device, MeasuredRun
from kilowait.measure.meters import Meter, MeterReading
from kilowait.measure.outcome import Order, RunOutcome

TURN_PAUSE_S = 0.005
NO_READING = MeterReading(
    energy_j=None,
    power_mean_w=None,
    power_peak_w=None,
    peak_memory_bytes=None,
    provenance=Provenance.MEASURED,
    meter="",
)


class Launcher:
    """The launching process (`kilowait.measure.launcher`) from the outside; started on the first order."""

    def __init__(self, *, warm: bool) -> None:
        self._command = [sys.executable, "-m", "kilowait.measure.launcher", "warm" if warm else "cold"]
        self._process: subprocess.Popen[str] | None = None

    def _start(self) -> subprocess.Popen[str]:
        root = str(Path(kilowait.__file__).parents[1])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        # numpy's BLAS would start its threads at import, and a process with threads must not fork
        environment = {**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,  # Ctrl-C is the campaign's to handle
        )
        ready = cast(IO[str], process.stdout).readline().split()
        if ready != ["ready", "1"]:
            process.kill()
            raise InputError(f"the launching process did not come up with one thread: {ready}; see its message above")
        self._process = process
        return process

    def run(self, order: Order) -> RunOutcome:
        """Run one script to its end; if the launching process dies of it, that is the outcome."""
        process = self._process or self._start()
        asked_s = time.perf_counter()
        try:
            cast(IO[str], process.stdin).write(order.to_json() + "\n")
            cast(IO[str], process.stdin).flush()
            answer = cast(IO[str], process.stdout).readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            return RunOutcome.from_json(answer)
        self.close()
        return _lost(asked_s, process.wait())

    def close(self) -> None:
        """End the launching process, and with it any script that still runs."""
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # it is gone already
                    continue
        process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _lost(asked_s: float, code: int) -> RunOutcome:
    return RunOutcome(
        exit_code=code,
        failure=f"the launching process ended (exit code {code}) while the script ran",
        forked_s=asked_s,
        started_s=None,
        step_s=None,
        ended_s=time.perf_counter(),
        cpu_s=0.0,
        peak_memory_bytes=0,
    )


@contextmanager
def turn(lock: Path | None) -> Iterator[None]:
    """Hold an exclusive lock on the file, then leave it free for a moment so that others get their turn."""
    if lock is None:
        yield
        return
    with lock.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
        fcntl.flock(file, fcntl.LOCK_UN)
    time.sleep(TURN_PAUSE_S)


def cpu_name() -> str:
    """The processor's model name, from /proc/cpuinfo where there is one."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def cpu_device(threads: int, host: str) -> Device:
    """The device type cpu-N; raises InputError when the machine has fewer cores."""
    cores = len(os.sched_getaffinity(0))
    if not 1 <= threads <= cores:
        raise InputError(f"cpu-{threads}: this process may use {cores} cores; ask for cpu-1 to cpu-{cores}")
    return Device(device_type=f"cpu-{threads}", device_id=host, device_name=cpu_name(), threads=threads)


def order_for(device: Device, script: Path, timeout_s: float) -> Order:
    """How a script is run on a device: threads and the highest-numbered cores, or the one visible GPU."""
    order = Order(script=str(script.resolve()), timeout_s=timeout_s)
    if device.threads is None:
        return replace(order, environment={"CUDA_VISIBLE_DEVICES": device.device_id})
    cores = sorted(os.sched_getaffinity(0))[-device.threads :]
    environment = {"OMP_NUM_THREADS": str(device.threads), "CUDA_VISIBLE_DEVICES": ""}
    return replace(order, threads=device.threads, cores=tuple(cores), environment=environment)


def versions() -> str:
    """The versions a label depends on, as a JSON object."""
    package_versions = {"python": platform.python_version(), "torch": metadata.version("torch")}
    return json.dumps({**package_versions, "kilowait": kilowait.__version__})


class ScriptRunner:
    """Runs scripts on one device, one at a time, each under the meter."""

    def __init__(
        self,
        device: Device,
        launcher: Launcher,
        meter: Meter,
        *,
        timeout_s: float,
        host: str,
        now: Callable[[], datetime],
        turn_lock: Path | None = None,
    ) -> None:
        self.device = device
        self._launcher, self._meter, self._now = launcher, meter, now
        self._timeout_s, self._host, self._turn_lock = timeout_s, host, turn_lock
        self._versions = versions()

    def run(self, script: Path, *, content_hash: str, path: str, attempt: int) -> MeasuredRun:
        """Run the script once; every way to fail becomes a field of the record."""
        order = order_for(self.device, script, self._timeout_s)
        with turn(self._turn_lock):
            started_at = self._now()
            outcome, reading = self._measured(order)
        return MeasuredRun(
            content_hash=content_hash,
            path=path,
            attempt=attempt,
            started_at=started_at,
            exit_code=outcome.exit_code,
            failure=outcome.failure,
            startup_s=outcome.startup_s,
            warmup_s=outcome.warmup_s,
            steady_s=outcome.steady_s,
            runtime_s=outcome.runtime_s,
            energy_j=reading.energy_j,
            power_mean_w=reading.power_mean_w,
            power_peak_w=reading.power_peak_w,
            peak_memory_bytes=reading.peak_memory_bytes,
            runtime_provenance=Provenance.MEASURED.value,
            energy_provenance=reading.provenance.value if reading.meter else None,
            meter=reading.meter or None,
            host=self._host,
            device_type=self.device.device_type,
            device_id=self.device.device_id,
            device_name=self.device.device_name,
            driver=self.device.driver,
            versions=self._versions,
        )

    def _measured(self, order: Order) -> tuple[RunOutcome, MeterReading]:
        self._meter.start()
        outcome = self._launcher.run(order)
        try:
            return outcome, self._meter.finish(outcome)
        except MeterError as error:  # the run happened: keep it, as one that cannot be a label
            failure = outcome.failure or f"meter: {error}"
            return replace(outcome, failure=failure), NO_READING

"""NVIDIA boards through NVML: which there are, and what they draw.

Boards are known by UUID, never by index: CUDA orders devices by speed, NVML by bus. pynvml is imported here only,
and only when asked. On Ampere and later nvmlDeviceGetPowerUsage is a one-second average, so peaks shorter than that
are flattened. The energy counter exists from Volta on. Not covered: MIG slices and other vendors.
"""

import ctypes
import importlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from kilowait.core.errors import MeterError
from kilowait.core.extras import explained
from kilowait.core.hardware import from_nvml
from kilowait.core.jobs import Provenance
from kilowait.measure.measured_run import Device
from kilowait.measure.meters import MeterReading, PowerSample, read_trace, window_of
from kilowait.measure.outcome import RunOutcome

SAMPLE_PERIOD_S = 0.05
"""20 Hz: twenty times the paper's one reading a second."""

_UUIDS = (
    "import torch\n"
    "for i in range(torch.cuda.device_count()):\n"
    "    print('GPU-' + str(torch.cuda.get_device_properties(i).uuid).removeprefix('GPU-'))"
)


def load_nvml() -> ModuleType:
    """The pynvml module, initialised; raises MeterError where there is no NVIDIA driver, MissingExtra where it is not
    installed beside one."""
    try:
        nvml = importlib.import_module("pynvml")
    except ModuleNotFoundError as error:
        if has_driver():
            raise explained(error, "measuring NVIDIA boards") from error
        raise MeterError("no NVIDIA driver here; label on CPU with --devices cpu-1,cpu-2") from error
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise MeterError(
            f"NVML does not start ({error}): no NVIDIA driver here; label on CPU with --devices cpu-1,cpu-2"
        ) from error
    return nvml


def has_driver() -> bool:
    """Whether the driver's own library is here, by the name that NVML is found by."""
    try:
        ctypes.CDLL("libnvidia-ml.so.1")
    except OSError:
        return False
    return True


@contextmanager
def _as_meter_error(nvml: Any, uuid: str) -> Iterator[None]:
    try:
        yield
    except nvml.NVMLError as error:
        raise MeterError(f"{uuid}: NVML does not answer: {error}") from error


def boards(nvml: Any) -> list[Device]:
    """Every board NVML lists, in its order; raises MeterError, or InputError for a board no type is known for."""
    with _as_meter_error(nvml, "listing the boards"):
        driver = nvml.nvmlSystemGetDriverVersion()
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        uuids_and_names = [(nvml.nvmlDeviceGetUUID(h), nvml.nvmlDeviceGetName(h)) for h in handles]
    return [
        Device(device_type=from_nvml(name), device_id=uuid, device_name=name, driver=driver)
        for uuid, name in uuids_and_names
    ]


def visible_uuids() -> list[str]:
    """The UUIDs of the boards CUDA shows to this process's children, in CUDA's order; raises MeterError.

    Asked in a process of its own: CUDA started here would hold memory on the boards that are to be measured.
    """
    process = subprocess.run([sys.executable, "-c", _UUIDS], capture_output=True, text=True, check=False)
    if process.returncode != 0:
        error_lines = process.stderr.strip().splitlines()[-1:] or ["no message"]
        raise MeterError(f"CUDA cannot list its devices: {error_lines[0]}")
    return process.stdout.split()


def visible_boards(nvml: Any, uuids: Sequence[str]) -> list[Device]:
    """The boards with these UUIDs, in this order; raises MeterError for one that NVML does not list."""
    by_uuid = {board.device_id.lower(): board for board in boards(nvml)}
    missing = [uuid for uuid in uuids if uuid.lower() not in by_uuid]
    if missing:
        raise MeterError(f"CUDA shows {', '.join(missing)}, NVML lists {', '.join(sorted(by_uuid)) or 'nothing'}")
    return [by_uuid[uuid.lower()] for uuid in uuids]


def device_files(nvml: Any, uuids: Sequence[str]) -> tuple[str, ...]:
    """The device files of boards; raises MeterError for one that NVML does not know."""
    with _as_meter_error(nvml, ", ".join(uuids)):
        handles = [nvml.nvmlDeviceGetHandleByUUID(uuid) for uuid in uuids]
        return tuple(f"/dev/nvidia{nvml.nvmlDeviceGetMinorNumber(handle)}" for handle in handles)


class NvmlMeter:
    """Watches one board: a thread samples power, memory in use, and the energy counter where there is one.

    Mean and peak power and memory come from the samples. Energy is the counter's difference over the window
    (meter nvml-energy-counter), else the power samples integrated (nvml-power-sampling); both are measured.
    """

    def __init__(self, nvml: Any, uuid: str, *, period_s: float = SAMPLE_PERIOD_S) -> None:
        """Find the board; raises MeterError when it is not there or others compute on it."""
        self._nvml, self.uuid, self._period_s = nvml, uuid, period_s
        with _as_meter_error(nvml, uuid):
            self._handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            self._check_alone()
            self.has_counter = self._supports_counter()
        self._samples: list[PowerSample] = []
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: MeterError | None = None

    def _check_alone(self) -> None:
        try:
            busy = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        except self._nvml.NVMLError as error:
            if error.value == self._nvml.NVML_ERROR_NOT_SUPPORTED:  # some virtual GPUs do not tell
                return
            raise
        if busy:
            pids = ", ".join(str(process.pid) for process in busy)
            raise MeterError(f"{self.uuid}: processes {pids} compute on it; a label needs the board alone")

    def _supports_counter(self) -> bool:
        try:
            self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)
        except self._nvml.NVMLError as error:
            if error.value == self._nvml.NVML_ERROR_NOT_SUPPORTED:
                return False
            raise
        return True

    def sample(self) -> PowerSample:
        """Look once; raises MeterError. NVML speaks mW and mJ."""
        nvml, handle = self._nvml, self._handle
        with _as_meter_error(nvml, self.uuid):
            energy_mj = nvml.nvmlDeviceGetTotalEnergyConsumption(handle) if self.has_counter else None
            return PowerSample(
                at_s=time.perf_counter(),
                power_w=nvml.nvmlDeviceGetPowerUsage(handle) / 1000,
                energy_j=None if energy_mj is None else energy_mj / 1000,
                memory_bytes=nvml.nvmlDeviceGetMemoryInfo(handle).used,
            )

    def _watch(self) -> None:
        try:
            while not self._stop.wait(self._period_s):
                self._samples.append(self.sample())
        except MeterError as error:  # raised again by finish: a thread has nobody to tell
            self._error = error

    def start(self) -> None:
        """Take a first sample and begin; raises MeterError."""
        self._stop.clear()
        self._error = None
        self._samples = [self.sample()]
        self._thread = threading.Thread(target=self._watch, name=f"power-{self.uuid}", daemon=True)
        self._thread.start()

    def finish(self, outcome: RunOutcome) -> MeterReading:
        """Stop, take a last sample, charge the outcome's window; raises MeterError."""
        if self._thread is None:
            raise MeterError(f"{self.uuid}: the meter was not started")
        self._stop.set()
        self._thread.join()
        self._thread = None
        if self._error is not None:
            raise self._error
        self._samples.append(self.sample())
        start_s, end_s = window_of(outcome)
        return read_trace(self._samples, start_s, end_s, provenance=Provenance.MEASURED, prefix="nvml")

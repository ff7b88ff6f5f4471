"""Boards that are not there, behind the calls of pynvml that kilowait makes."""

import threading
from types import SimpleNamespace


class FakeNvmlError(Exception):
    def __init__(self, value):
        super().__init__(f"code {value}")
        self.value = value


class FakeNvml:
    """The calls of pynvml that kilowait makes, on boards given as (uuid, name, milliwatts)."""

    NVMLError = FakeNvmlError
    NVML_ERROR_NOT_SUPPORTED = 3
    NVML_ERROR_GPU_IS_LOST = 15

    def __init__(self, *listed, counter=True):
        self.listed, self.counter, self.lost = listed, counter, False
        self.energy_mj = 5_000
        self.computing = []
        self.power_reads = 0
        self.read_twice = threading.Event()

    def nvmlSystemGetDriverVersion(self):  # noqa: N802 - NVML's name
        return "580.1"

    def nvmlDeviceGetCount(self):  # noqa: N802
        return len(self.listed)

    def nvmlDeviceGetHandleByIndex(self, index):  # noqa: N802
        return self.listed[index]

    def nvmlDeviceGetHandleByUUID(self, uuid):  # noqa: N802
        for board in self.listed:
            if board[0] == uuid:
                return board
        raise FakeNvmlError(6)

    def nvmlDeviceGetUUID(self, handle):  # noqa: N802
        return handle[0]

    def nvmlDeviceGetMinorNumber(self, handle):  # noqa: N802
        return self.listed.index(handle)

    def nvmlDeviceGetName(self, handle):  # noqa: N802
        return handle[1]

    def nvmlDeviceGetPowerUsage(self, handle):  # noqa: N802
        if self.lost:
            raise FakeNvmlError(self.NVML_ERROR_GPU_IS_LOST)
        self.power_reads += 1
        if self.power_reads >= 3:
            self.read_twice.set()
        return handle[2]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):  # noqa: N802
        if not self.counter:
            raise FakeNvmlError(self.NVML_ERROR_NOT_SUPPORTED)
        self.energy_mj += 1_000
        return self.energy_mj

    def nvmlDeviceGetComputeRunningProcesses(self, handle):  # noqa: N802
        return [SimpleNamespace(pid=pid) for pid in self.computing]

    def nvmlDeviceGetMemoryInfo(self, handle):  # noqa: N802
        return SimpleNamespace(used=123)


A100 = ("GPU-aaaa", "NVIDIA A100-SXM4-40GB", 250_000)
A6000 = ("GPU-bbbb", "NVIDIA RTX A6000", 90_000)

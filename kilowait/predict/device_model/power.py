"""Watts and joules of a program from what keeps its device busy; modelled.

A board draws its idle power plus a part of its dynamic range, peak - idle: most of it while arithmetic is what
limits an operation, less while memory does, little while the device waits for its host.

The constants are fitted to public measurements: the power limit sweep of Zeus (You, Chung and Chowdhury, NSDI 2023;
ml-energy/zeus, Apache-2.0; five networks on A40, V100, P100, Quadro RTX 6000, 1,609 runs) and checked against Perseus
(SOSP 2024, the same repository; A100 and A40). `COMPUTE` is the median over types of the dynamic part drawn by BERT and
ResNet-50 without a cap, `MEMORY` by ShuffleNet v2 and DeepSpeech 2, `WAITING` by NCF, which waits for its input. Nobody
measured the energy of single operations here: the split by operation is a model.

Not covered: power caps.
"""

from collections.abc import Sequence

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import InputError
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.roofline import compute_share
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.workload import Workload
from kilowait.predict.dryrun.record import DryRun

COMPUTE, MEMORY, WAITING = 0.85, 0.58, 0.10
"""Parts of the dynamic range that are drawn, by what limits the device."""


def average_power_w(device: Specification, computing: float, moving: float) -> float:
    """Watts of a board that spends these shares of the time limited by arithmetic and by memory, the rest waiting.

    Raises InputError for shares that are none.
    """
    if computing < 0 or moving < 0 or computing + moving > 1 + 1e-9:
        raise InputError(f"shares of time must be >= 0 and at most 1 together, got {computing!r} and {moving!r}")
    part = COMPUTE * computing + MEMORY * moving + WAITING * max(0.0, 1 - computing - moving)
    return device.idle_w + part * (device.peak_w - device.idle_w)


def power_w(model: DeviceModel, dry_runs: Sequence[DryRun], devices: Sequence[Specification]) -> FloatArray:
    """Average watts of P programs on D devices (P, D), modelled."""
    load = Workload.of(dry_runs, reading=model.reading)
    totals = model.totals(load, devices)
    watts = np.empty((len(dry_runs), len(devices)))
    for j, device in enumerate(devices):
        compute = compute_share(load.columns, device, tf32=model.tf32)[load.work]
        busy = totals.busy[:, j]
        computing = np.asarray(load.incidence(busy * compute).sum(1)).ravel()
        moving = np.asarray(load.incidence(busy * (1 - compute)).sum(1)).ravel()
        total = np.maximum(computing + moving, 1.0)
        watts[:, j] = [average_power_w(device, c, m) for c, m in zip(computing / total, moving / total, strict=True)]
    return watts

"""A dry run and a specification sheet as a row of numbers, for learners that take tables.

Not what the device model reads (`device_model`): sums over a program and shares of classes, no operation by itself.
"""

import math

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.predict.device_model.roofline import Columns, device_seconds, host_seconds
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.work import Work, work_of
from kilowait.predict.dryrun.record import DryRun, Kind

_TOTALS = ("flops", "bytes", "kernels", "calls", "distinct operations", "steps", "parameters", "peak memory")
_RUN_SHARES = tuple(f"share of {what}: {kind}" for what in ("FLOPs", "bytes") for kind in Kind)
RUN = ("has a dry run", *_TOTALS, "FLOPs a byte", *_RUN_SHARES)
"""What each number of `run_features` is."""
PAIR = ("device roofline", "host", "larger of both", *(f"share of roofline: {kind}" for kind in Kind))
"""What each number of `pair_features` is."""
SHEET = ("FLOP/s", "bandwidth", "multiprocessors", "cache", "bytes to FLOPs", "generation", "watts")
"""What each number of `sheet_features` is."""


def run_features(run: DryRun | None) -> FloatArray:
    """The numbers `RUN` (F,) of a dry run, totals as logarithms; zeros where there is none."""
    if run is None or not run.usable:
        return np.zeros(len(RUN))
    count = np.array([o.count for o in run.operations])
    flops = count * np.array([o.flops for o in run.operations])
    bytes_moved = count * np.array([o.bytes_read + o.bytes_written for o in run.operations])
    kernels = count @ np.array([o.kernels for o in run.operations])
    sums = [flops.sum(), bytes_moved.sum(), kernels, count.sum(), len(count)]
    logs = np.log1p([*sums, run.steps, run.parameters, run.peak_memory_bytes])
    kinds = [o.kind for o in run.operations]
    return np.array([1.0, *logs, logs[0] - logs[1], *_shares(flops, kinds), *_shares(bytes_moved, kinds)])


def _shares(amounts: FloatArray, kinds: list[str]) -> FloatArray:
    """The part of a sum that each `Kind` has (K,)."""
    index = {str(kind): i for i, kind in enumerate(Kind)}
    sums = np.bincount([index[kind] for kind in kinds], weights=amounts, minlength=len(index))
    return np.asarray(sums / max(amounts.sum(), 1e-30))


def pair_features(run: DryRun | None, sheets: list[Specification]) -> FloatArray:
    """The numbers `PAIR` (D, F) of a dry run on each of D device types: log seconds before anything is learned."""
    if run is None or not run.usable:
        return np.zeros((len(sheets), len(PAIR)))
    pairs = [(work_of(o), o) for o in run.operations if o.device == run.target and o.count > 0]
    works: list[Work] = [work for work, _ in pairs]
    columns = Columns.of(works)
    count, kinds = np.array([o.count for _, o in pairs]), [o.kind for _, o in pairs]
    rows = []
    for sheet in sheets:
        device_s, host_s = count * device_seconds(columns, sheet), count * host_seconds(columns, sheet)
        totals = (max(device_s.sum(), 1e-9), max(host_s.sum(), 1e-9))
        logs = [math.log(total) for total in (*totals, max(totals))]
        rows.append(np.array([*logs, *_shares(device_s, kinds)]))
    return np.stack(rows)


def sheet_features(sheet: Specification) -> FloatArray:
    """The numbers `SHEET` (F,) of a device type, as logarithms."""
    return np.array(
        [
            math.log(sheet.fp32_flops),
            math.log(sheet.bandwidth),
            math.log(sheet.multiprocessors),
            math.log(sheet.cache_bytes),
            math.log(sheet.bandwidth / sheet.fp32_flops),
            sheet.generation,
            math.log(sheet.peak_w),
        ]
    )

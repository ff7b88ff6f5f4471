"""What a site's own board is like: two factors, of launches and of operations, from times of a few small programs.

Boards of one type differ by their hosts above all, and no sheet tells the host. The factors are the most probable ones
under how much boards of other sources differ, with Student's t for the errors: some programs hold what no record tells.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from kilowait.core.arrays import FloatArray, Mask
from kilowait.core.errors import InputError
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.workload import Workload
from kilowait.predict.dryrun.record import DryRun

EXPECTED = 0.4, 0.2
"""How far factors of host and device are from 1 (standard deviations of logarithms)."""
NOISE, TAILS = 0.1, 3.0
"""Of a program's time around the sum of its operations, and the degrees of freedom of its errors."""
ROUNDS = 20
PRETENDED_NOISE = 0.01
"""Of the times of a made-up board (logarithms)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnBoard:
    """Seconds of a site's board over those that the model expects, of `programs` programs.

    `error_before` is the median error without factors, `error_after` with those of the other half of the programs.
    """

    host_factor: float
    device_factor: float
    programs: int
    error_before: float
    error_after: float

    @classmethod
    def of(cls, model: DeviceModel, sheet: Specification, runs: Sequence[DryRun], seconds: FloatArray) -> Self:
        """From P programs' usable dry runs and times (P,); raises InputError for fewer than four, or times <= 0."""
        if len(runs) < 4 or not (np.isfinite(seconds) & (seconds > 0)).all():
            raise InputError(f"a board is known by times > 0 of four programs or more, got {seconds.tolist()}")
        plain = replace(sheet, host_factor=1.0, device_factor=1.0)
        load, log_s = Workload.of(runs, reading=model.reading), np.log(seconds)
        even = np.arange(len(runs)) % 2 == 0
        left_out = np.empty(len(runs))
        for half in (even, ~even):
            left_out[~half] = _errors(model, load, plain, log_s, _factors(model, load, plain, log_s, half))[0][~half]
        before = _errors(model, load, plain, log_s, np.zeros(2))[0]
        host, device = np.exp(_factors(model, load, plain, log_s, even | ~even)).tolist()
        return cls(
            host_factor=host,
            device_factor=device,
            programs=len(runs),
            error_before=float(np.median(np.abs(np.expm1(-before)))),
            error_after=float(np.median(np.abs(np.expm1(-left_out)))),
        )


def _factors(model: DeviceModel, load: Workload, sheet: Specification, log_s: FloatArray, rows: Mask) -> FloatArray:
    """Logarithms of the most probable factors (2,), of some rows (P,)."""
    prior = np.diag(1 / np.square(EXPECTED))
    found: FloatArray = np.zeros(2, dtype=np.float64)
    for _ in range(ROUNDS):
        error, shares = (part[rows] for part in _errors(model, load, sheet, log_s, found))
        weight = (TAILS + 1) / (TAILS + np.square(error / NOISE)) / NOISE**2
        weighted = shares.T * weight
        found = np.asarray(
            np.linalg.solve(weighted @ shares + prior, weighted @ (error + shares @ found)), dtype=np.float64
        )
    return found


def _errors(
    model: DeviceModel, load: Workload, sheet: Specification, log_s: FloatArray, factors: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """log measured - log predicted (P,), and how predictions follow the factors' logarithms (P, 2)."""
    host, device = np.exp(factors).tolist()
    told = model.totals(load, [replace(sheet, host_factor=host, device_factor=device)])
    shares = [load.added(part)[:, 0] for part in (told.host_share, told.device_share)]
    return log_s - told.log_s[:, 0], np.stack(shares, axis=1)


def pretended_seconds(
    model: DeviceModel, sheet: Specification, runs: Sequence[DryRun], factors: tuple[float, float]
) -> FloatArray:
    """What programs would take on a made-up board with factors of host and device (P,), a hundredth off each."""
    load = Workload.of(runs, reading=model.reading)
    board = replace(sheet, host_factor=factors[0], device_factor=factors[1])
    off = np.random.default_rng(0).normal(0, PRETENDED_NOISE, len(runs))
    return np.asarray(np.exp(model.totals(load, [board]).log_s[:, 0] + off))

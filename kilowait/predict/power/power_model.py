"""Watts of programs on boards, with intervals, and what a power limit does to them: fitted data with a version.

A board draws its idle power plus a part of its dynamic range, up to its limit: a sum over what keeps it busy
(`draw_shares`), fitted to public measurements of whole networks by `kilowait lab power`. The file says which, and how
far off it is on networks and GPU types that were left out.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import ModelError
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import PowerLimit, Prediction
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.power.draw_shares import FEATURES
from kilowait.predict.power.limit_curve import LimitCurve, floor_w

FILE = "power.json"
CORNER = 12.0
"""How sharply the draw bends where it meets the board's limit."""
LEAST_OF_IDLE = 0.5
Z90 = 1.645


def draw_w(features: FloatArray, coefficients: FloatArray, idle_w: FloatArray, peak_w: FloatArray) -> FloatArray:
    """Watts of programs with these features (..., FEATURES) on boards that idle and end there (...)."""
    part = -np.logaddexp(-CORNER * (features @ coefficients), -CORNER) / CORNER
    return np.asarray(np.maximum(idle_w + (peak_w - idle_w) * part, LEAST_OF_IDLE * idle_w))


def full_power(whole: Prediction, peak_w: float) -> PowerLimit:
    """The board's own limit."""
    return PowerLimit(limit_w=peak_w, runtime_s=whole.runtime_s, energy_kwh=whole.energy_kwh)


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerModel:
    """Coefficients of the draw, what measured types draw beside it, and curves of power limits.

    `offsets` are logarithms by type. `sigma` and `new_sigma` are standard deviations of the logarithm of watts for
    networks left out, on types that were measured and on others; `correlation` is that of this error with the one of
    the run time: a program that runs faster than predicted draws more. `curves` are by type, `pooled` is for
    others; `networks` are the curves of each measured network, by type.
    """

    coefficients: tuple[float, ...]
    offsets: Mapping[str, float]
    sigma: float
    new_sigma: float
    correlation: float
    curves: Mapping[str, LimitCurve]
    pooled: LimitCurve
    networks: Mapping[str, Mapping[str, LimitCurve]]
    version: str = ""

    def watts(self, features: FloatArray, devices: Sequence[Specification]) -> FloatArray:
        """Average watts of P programs on D boards (P, D), between half the idle power and the board's limit."""
        idle, peak = (np.array([getattr(d, name) for d in devices]) for name in ("idle_w", "peak_w"))
        drawn = draw_w(features, np.array(self.coefficients), idle, peak)
        return np.asarray(np.minimum(drawn * np.exp([self.offsets.get(d.name, 0.0) for d in devices]), peak))

    def half_width(self, gpu_type: str, log_time: float) -> float:
        """Of the logarithm of joules, half the 90% interval where that of seconds has this half."""
        own = Z90 * (self.sigma if gpu_type in self.offsets else self.new_sigma)
        return math.sqrt(max(log_time**2 + own**2 + 2 * self.correlation * log_time * own, 0.0))

    def limits(
        self, whole: Prediction, board: Specification, watts: float, arithmetic: float
    ) -> tuple[PowerLimit, ...]:
        """The curve of a program that takes `whole` and draws `watts` a board, from no limit down, as far as known.

        The curve is read at another draw than this one (`expected_w`), so watts are held to the limit by themselves.
        """
        curve, found = self.curves.get(board.name, self.pooled), [full_power(whole, board.peak_w)]
        floor = floor_w(GPU_TYPES[board.name], board.idle_w, board.peak_w)
        full_w = curve.expected_w(watts, board.peak_w)
        for limit_w in curve.reached(board.peak_w, full_w, floor):
            slowdown, drawn_w = curve.at(limit_w, full_w, floor, arithmetic)
            found.append(
                PowerLimit(
                    limit_w=limit_w,
                    runtime_s=whole.runtime_s * slowdown,
                    energy_kwh=whole.energy_kwh * slowdown * min(drawn_w / full_w, limit_w / watts, 1.0),
                )
            )
        return tuple(found)

    @classmethod
    @cache
    def load_default(cls) -> Self:
        """The one that comes with kilowait; raises ModelError when this installation has none."""
        with resources.as_file(resources.files("kilowait") / "data" / "power_model" / FILE) as path:
            return cls.load(path)

    @classmethod
    def load(cls, path: Path | str) -> Self:
        """Read what `kilowait lab power` wrote; raises ModelError naming the file and what is wrong with it."""
        try:
            found = json.loads(Path(path).read_text(encoding="utf-8"))
            model = cls(
                coefficients=tuple(map(float, found["coefficients"])),
                offsets={str(name): float(value) for name, value in found["offsets"].items()},
                curves={str(name): LimitCurve.from_dict(curve) for name, curve in found["curves"].items()},
                pooled=LimitCurve.from_dict(found["pooled"]),
                networks={
                    str(gpu): {str(name): LimitCurve.from_dict(curve) for name, curve in curves.items()}
                    for gpu, curves in found["networks"].items()
                },
                version=str(found["version"]),
                **{name: float(found[name]) for name in ("sigma", "new_sigma", "correlation")},
            )
        except OSError as error:
            raise ModelError(f"{path}: no power model: {error.strerror}; fit it with kilowait lab power") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"{path}: not a power model: {error!r}; fit it with kilowait lab power") from error
        if len(model.coefficients) != FEATURES or model.version != version_of(found):
            raise ModelError(f"{path}: not as it was written; fit it again with kilowait lab power")
        return model


def version_of(described: Mapping[str, Any]) -> str:
    """A hash over everything but the version itself."""
    rest = {name: value for name, value in described.items() if name != "version"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()[:12]

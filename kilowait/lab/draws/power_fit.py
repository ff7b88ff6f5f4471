"""The power model of measured draws: coefficients, what types draw beside them, and mean curves of power limits."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import numpy as np
from scipy.optimize import least_squares

from kilowait.core.arrays import FloatArray
from kilowait.core.hardware import GPU_TYPES
from kilowait.lab.draws.measured_draws import SERVED, MeasuredDraw
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.power.draw_shares import DrawShares
from kilowait.predict.power.limit_curve import LimitCurve, floor_w
from kilowait.predict.power.power_model import draw_w

PRIOR = np.array([0.65, 0.40, 0.40, 0.0, 0.0, 0.20, 0.15])
"""Of the coefficients, from boards' habits: half to two thirds of the range at work, a fifth for GDDR memory."""
PRIOR_WEIGHT = 0.1
FAR = 0.15
"""Errors of logarithms beyond this count as their size, not its square."""
SHRUNK = 2.0
"""How many networks without error stand against those that a type's own offset is from."""
RATIOS = np.round(np.arange(0.15, 1.26, 0.05), 2)
NEEDED_PART = 0.5
"""Of the board's limit that a program must draw for a curve of its limits to say anything."""
LEAST_LIMITS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawLabels:
    """N draws with their features (N, F), idle and highest watts (N,), and predicted seconds of a step (N,)."""

    draws: tuple[MeasuredDraw, ...]
    features: FloatArray
    idle_w: FloatArray
    peak_w: FloatArray
    arithmetic: FloatArray
    step_s: FloatArray

    @classmethod
    def of(
        cls, draws: Sequence[MeasuredDraw], runs: Mapping[tuple[str, ...], DryRun], model: DeviceModel
    ) -> "DrawLabels":
        """What the device model says of the programs of draws, on boards with the limits that were measured."""
        found = [_label(draw, runs[draw.arguments], model) for draw in draws]
        features, arithmetic, step_s, idle_w = (np.array(column) for column in zip(*found, strict=True))
        peak_w = np.array([draw.board_w for draw in draws])
        return cls(
            draws=tuple(draws), features=features, idle_w=idle_w, peak_w=peak_w, arithmetic=arithmetic, step_s=step_s
        )

    def taken(self, rows: FloatArray) -> "DrawLabels":
        """Some of them (N,)."""
        kept = tuple(draw for draw, is_kept in zip(self.draws, rows, strict=True) if is_kept)
        columns = {name: getattr(self, name)[rows] for name in ("features", "idle_w", "peak_w", "arithmetic", "step_s")}
        return DrawLabels(draws=kept, **columns)

    def column(self, name: str) -> FloatArray:
        """An attribute of the draws (N,)."""
        return np.array([getattr(draw, name) for draw in self.draws])

    @property
    def weights(self) -> FloatArray:
        """So that each network on a type counts once, however many batch sizes it was measured with (N,)."""
        cells = [(draw.gpu, draw.network) for draw in self.draws]
        counts = Counter(cells)
        return np.array([1 / counts[cell] for cell in cells])


def _label(draw: MeasuredDraw, run: DryRun, model: DeviceModel) -> tuple[FloatArray, float, float, float]:
    sheet = replace(Specification.named(draw.gpu), peak_w=draw.board_w)
    shares = DrawShares.of(model, [run], [sheet])
    shares = shares.kept_from_waiting() if draw.source == SERVED else shares.with_bubbles(draw.bubbles)
    step_s = float(np.exp(model.predict([run], [sheet]).log_s[0, 0]))
    arithmetic = float((shares.arithmetic + shares.recurrent)[0, 0])
    return shares.features([sheet])[0, 0], arithmetic, step_s, sheet.idle_w


def fitted_coefficients(labels: DrawLabels) -> FloatArray:
    """The coefficients of least robust error of logarithms, near `PRIOR`."""
    weights, log_w = np.sqrt(labels.weights), np.log(labels.column("full_w"))

    def residuals(coefficients: FloatArray) -> FloatArray:
        predicted = np.log(draw_w(labels.features, coefficients, labels.idle_w, labels.peak_w))
        return np.concatenate([weights * (predicted - log_w), PRIOR_WEIGHT * (coefficients - PRIOR)])

    return np.asarray(least_squares(residuals, PRIOR, loss="soft_l1", f_scale=FAR).x)


def fitted_offsets(labels: DrawLabels, coefficients: FloatArray) -> dict[str, float]:
    """By type, the mean over its networks of the logarithm of measured over predicted watts, shrunk."""
    log_ratio = np.log(labels.column("full_w") / draw_w(labels.features, coefficients, labels.idle_w, labels.peak_w))
    cells: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for draw, error in zip(labels.draws, log_ratio.tolist(), strict=True):
        cells[draw.gpu][draw.network].append(error)
    return {
        gpu: float(np.sum([np.median(errors) for errors in networks.values()]) / (len(networks) + SHRUNK))
        for gpu, networks in cells.items()
    }


def has_curve(draw: MeasuredDraw) -> bool:
    """Whether its limits say anything: several of them, and a draw that runs into them."""
    return len(draw.limits_w) >= LEAST_LIMITS and draw.full_w >= NEEDED_PART * draw.board_w


def slowdown_of(draw: MeasuredDraw) -> FloatArray:
    """Seconds over those at the highest limit (K,), which no lower limit makes less."""
    return np.asarray(np.maximum.accumulate((draw.seconds / draw.seconds[-1])[::-1])[::-1])


def mean_curve(labels: DrawLabels) -> LimitCurve:
    """Of draws that have a curve, each network counted once, as far down as half of them were measured."""
    found: dict[str, list[FloatArray]] = defaultdict(list)
    for draw in labels.draws:
        ratios = 1 + (draw.limits_w - draw.full_w) / dynamic_w(draw)
        parts = (np.log(slowdown_of(draw)), np.minimum(1 + (draw.watts - draw.full_w) / dynamic_w(draw), 1.0))
        found[draw.network].append(np.array([np.interp(RATIOS, ratios, part, left=np.nan) for part in parts]))
    networks = np.array([_mean(curves) for curves in found.values()])  # (networks, 2, ratios)
    is_known = np.isfinite(networks[:, 0]).mean(0) >= 0.5
    log_slowdown, part = _mean(networks[:, :, is_known])
    arithmetic = [labels.arithmetic[labels.column("network") == network].mean() for network in found]
    draws_part = np.log(labels.column("full_w") / labels.column("board_w"))
    typical = [draws_part[labels.column("network") == network].mean() for network in found]
    return LimitCurve(
        ratios=tuple(RATIOS[is_known].tolist()),
        log_slowdown=tuple(np.round(np.maximum.accumulate(log_slowdown[::-1])[::-1], 5).tolist()),
        draw=tuple(np.round(part, 5).tolist()),
        arithmetic=round(float(np.mean(arithmetic)), 4),
        typical=round(float(np.exp(np.mean(typical))), 4),
    )


def floor_of(draw: MeasuredDraw) -> float:
    """Watts of its board while a program does nothing there."""
    board = GPU_TYPES[draw.gpu]
    return floor_w(board, board.assumed_idle_w, draw.board_w)


def dynamic_w(draw: MeasuredDraw) -> float:
    """What it draws above its board's floor without a limit."""
    return draw.full_w - floor_of(draw)


def _mean(curves: Sequence[FloatArray] | FloatArray) -> FloatArray:
    """The mean of those that reach down so far, NaN where none does."""
    stacked = np.array(curves)
    known = np.isfinite(stacked)
    return np.asarray(np.where(known, stacked, 0.0).sum(0) / np.where(known.any(0), known.sum(0), np.nan))


def pooled_curve(labels: DrawLabels) -> LimitCurve:
    """For types that were never measured: the slowest of the types' mean curves, where two or more have one.

    Where the clocks reach their floor is a type's own, and nothing tells it; a mean would promise what some cannot do.
    """
    gpus = labels.column("gpu")
    curves = [mean_curve(labels.taken(gpus == gpu)) for gpu in dict.fromkeys(gpus.tolist())]
    by_ratio: dict[float, list[tuple[float, float]]] = defaultdict(list)
    for curve in curves:
        for ratio, *point in zip(curve.ratios, curve.log_slowdown, curve.draw, strict=True):
            by_ratio[ratio].append((point[0], point[1]))
    ratios = sorted(ratio for ratio, points in by_ratio.items() if len(points) > 1)
    slowest = [max(log_slowdown for log_slowdown, _ in by_ratio[ratio]) for ratio in ratios]
    return LimitCurve(
        ratios=tuple(ratios),
        log_slowdown=tuple(np.maximum.accumulate(slowest[::-1])[::-1].tolist()),
        draw=tuple(round(fmean(part for _, part in by_ratio[ratio]), 5) for ratio in ratios),
        arithmetic=round(fmean(curve.arithmetic for curve in curves), 4),
        typical=round(fmean(curve.typical for curve in curves), 4),
    )

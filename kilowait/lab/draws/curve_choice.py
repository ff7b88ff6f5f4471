"""Limits chosen for networks whose own curve nobody has seen, judged by that curve."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.lab.draws.measured_draws import MeasuredDraw
from kilowait.lab.draws.power_fit import DrawLabels, floor_of, has_curve, mean_curve, pooled_curve, slowdown_of
from kilowait.lab.draws.power_validation import LeftOutWatts
from kilowait.predict.power.limit_curve import LimitCurve

Curve = tuple[FloatArray, FloatArray]
"""Seconds over those without a limit, and watts, at the limits of a draw (K,)."""


def _others(labels: DrawLabels, draw: MeasuredDraw, same_type: bool) -> DrawLabels:
    rows = [one.network != draw.network and (one.gpu == draw.gpu) == same_type for one in labels.draws]
    return labels.taken(np.array(rows))


def _of_mean(labels: DrawLabels, draw: MeasuredDraw, arithmetic: float, watts: Mapping[str, float]) -> Curve:
    """The mean of the others' curves at the same limits in watts: what one has without a model."""
    found: dict[str, list[FloatArray]] = defaultdict(list)
    for one in _others(labels, draw, same_type=True).draws:
        curve = [np.interp(draw.limits_w, one.limits_w, part) for part in (slowdown_of(one), one.watts)]
        found[one.network].append(np.array(curve))
    slowdown, drawn_w = np.mean([np.mean(curves, axis=0) for curves in found.values()], axis=0)
    return slowdown, drawn_w


def _of_curve(curve: LimitCurve, draw: MeasuredDraw, arithmetic: float, predicted_w: float | None) -> Curve:
    """Of a predicted draw, or of the measured one."""
    full_w = draw.full_w if predicted_w is None else curve.expected_w(predicted_w, draw.board_w)
    told = [curve.at(limit_w, full_w, floor_of(draw), arithmetic) for limit_w in draw.limits_w.tolist()]
    slowdown, watts = zip(*told, strict=True)
    return np.array(slowdown), np.array(watts)


def _of_type(labels: DrawLabels, draw: MeasuredDraw, arithmetic: float, predicted_w: float | None) -> Curve:
    return _of_curve(mean_curve(_others(labels, draw, same_type=True)), draw, arithmetic, predicted_w)


def _of_other_types(labels: DrawLabels, draw: MeasuredDraw, arithmetic: float, predicted_w: float | None) -> Curve:
    return _of_curve(pooled_curve(_others(labels, draw, same_type=False)), draw, arithmetic, predicted_w)


CHOICES: Mapping[str, Callable[[DrawLabels, MeasuredDraw, float, Mapping[str, float]], Curve]] = {
    "mean curve of the type's other networks": _of_mean,
    "model, watts predicted": lambda labels, draw, share, watts: _of_type(labels, draw, share, watts["network"]),
    "model, watts measured": lambda labels, draw, share, watts: _of_type(labels, draw, share, None),
    "model, type left out": lambda labels, draw, share, watts: _of_other_types(labels, draw, share, watts["both"]),
}
"""How a curve is had that does not know the network."""


def choice_scores(name: str, labels: DrawLabels, left_out: LeftOutWatts, weight: float) -> Sequence[dict[str, Any]]:
    """A row a type: the part kept of what own curves save, and the time and the energy that were chosen."""
    rows = np.array([has_curve(draw) for draw in labels.draws])
    curves, cells = labels.taken(rows), dict[str, dict[str, list[list[float]]]]()
    columns = zip(curves.draws, curves.arithmetic, left_out.network[rows], left_out.both[rows], strict=True)
    for draw, arithmetic, network_w, both_w in columns:
        told = CHOICES[name](curves, draw, float(arithmetic), {"network": float(network_w), "both": float(both_w)})
        cells.setdefault(draw.gpu, {}).setdefault(draw.network, []).append(_judged(draw, told, weight))
    found = []
    for gpu, networks in cells.items():
        kept, own, time, energy = np.mean([np.mean(judged, axis=0) for judged in networks.values()], axis=0)
        found.append(
            {
                "curve": name,
                "gpu": gpu,
                "weight": weight,
                "networks": len(networks),
                "kept": float(kept / own) if own > 0 else None,
                "own_saving": float(own),
                "slowdown": float(time),
                "energy_change": float(energy - 1),
            }
        )
    return found


def _judged(draw: MeasuredDraw, told: Curve, weight: float) -> list[float]:
    """What the choice saves and what the best one would; its seconds and joules."""
    seconds = slowdown_of(draw)
    joules = seconds * draw.watts / draw.full_w
    cost, told_cost = seconds + weight * joules, told[0] + weight * told[0] * told[1] / told[1][-1]
    chosen = int(np.argmin(told_cost))
    return [float(v) for v in (cost[-1] - cost[chosen], cost[-1] - cost.min(), seconds[chosen], joules[chosen])]

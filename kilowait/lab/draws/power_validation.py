"""Watts and curves of networks and types left out of the fit, and how far off they are."""

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.lab.draws.power_fit import DrawLabels, fitted_coefficients, fitted_offsets
from kilowait.predict.power.power_model import Z90, draw_w

TYPE, NETWORK, BOTH = "type", "network", "type and network"
EPOCH_SAMPLES = {"resnet50": 1_281_167, "shufflenetv2": 50_000}
"""Of an epoch, where a step of the program is a batch of its samples: there seconds can be compared too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOutWatts:
    """Watts (N,) of draws, predicted without their type, without their network, and without both."""

    labels: DrawLabels
    type: FloatArray
    network: FloatArray
    both: FloatArray

    @classmethod
    def of(cls, labels: DrawLabels) -> "LeftOutWatts":
        """Fits without each; a type that is known brings its own offset, from its other networks."""
        gpus, networks = labels.column("gpu"), labels.column("network")
        found = {name: np.empty(len(gpus)) for name in (TYPE, NETWORK, BOTH)}
        for gpu in np.unique(gpus):
            found[TYPE][gpus == gpu] = _predicted(labels, gpus != gpu, gpus == gpu)
        for network in np.unique(networks):
            rows = networks == network
            found[NETWORK][rows] = _predicted(labels, ~rows, rows)
            for gpu in np.unique(gpus[rows]):
                cell = rows & (gpus == gpu)
                found[BOTH][cell] = _predicted(labels, ~rows & (gpus != gpu), cell)
        return cls(labels=labels, type=found[TYPE], network=found[NETWORK], both=found[BOTH])

    def error(self, predicted: FloatArray) -> FloatArray:
        """Logarithm of measured over predicted watts (N,)."""
        return np.asarray(np.log(self.labels.column("full_w") / predicted))

    def sigma(self, predicted: FloatArray) -> float:
        """The standard deviation whose 90% interval holds 90% of these errors, each network on a type counted once."""
        return _weighted_quantile(np.abs(self.error(predicted)), self.labels.weights, 0.9) / Z90

    def correlation(self) -> float:
        """Of the error of watts with that of seconds, of networks left out, where a step's seconds are known."""
        rows = [
            i for i, draw in enumerate(self.labels.draws) if draw.network in EPOCH_SAMPLES and draw.source == "zeus"
        ]
        draws = [self.labels.draws[i] for i in rows]
        batches = [float(draw.arguments[1]) for draw in draws]
        steps = [EPOCH_SAMPLES[draw.network] / batch for draw, batch in zip(draws, batches, strict=True)]
        measured_s = np.array([draw.seconds[-1] for draw in draws]) / np.array(steps)
        time_error = np.log(measured_s / self.labels.step_s[rows])
        return float(np.corrcoef(time_error, self.error(self.network)[rows])[0, 1])

    def scores(self) -> list[dict[str, Any]]:
        """A row a kind of novelty and type: median error, of draws and of networks, and coverage of 90% intervals."""
        gpus, found = self.labels.column("gpu"), list[dict[str, Any]]()
        for novelty, predicted in ((TYPE, self.type), (NETWORK, self.network), (BOTH, self.both)):
            error, sigma = self.error(predicted), self.sigma(predicted)
            part = np.abs(predicted / self.labels.column("full_w") - 1)
            for gpu in ("all", *dict.fromkeys(gpus.tolist())):
                rows = gpus != "" if gpu == "all" else gpus == gpu
                others = rows if gpu == "all" else ~rows
                width = (
                    _weighted_quantile(np.abs(error[others]), self.labels.weights[others], 0.9)
                    if gpu != "all"
                    else sigma * Z90
                )
                found.append(
                    {
                        "left_out": novelty,
                        "gpu": gpu,
                        "draws": int(rows.sum()),
                        "median_error": float(np.median(part[rows])),
                        "median_error_of_networks": _weighted_quantile(part[rows], self.labels.weights[rows], 0.5),
                        "coverage": float(np.average(np.abs(error[rows]) <= width, weights=self.labels.weights[rows])),
                        "bias": math.exp(-float(np.average(error[rows], weights=self.labels.weights[rows]))),
                    }
                )
        return found

    def tau(self, predicted: FloatArray, least_difference: float = 0.0) -> tuple[float, int]:
        """Kendall's tau of types by watts and how many pairs it is of: two types, one network, their common batches.

        Pairs whose measured watts are closer than `least_difference` (a part) are not counted.
        """
        cells: dict[tuple[str, str], dict[str, tuple[float, float]]] = defaultdict(dict)
        for draw, watts in zip(self.labels.draws, predicted.tolist(), strict=True):
            cells[draw.network, draw.gpu]["/".join(draw.arguments)] = (math.log(draw.full_w), math.log(watts))
        signs = []
        for (network, one), (other_network, other) in combinations(cells, 2):
            first, second = cells[network, one], cells[other_network, other]
            common = first.keys() & second.keys()
            if network == other_network and common:
                gaps = np.mean([np.subtract(first[key], second[key]) for key in sorted(common)], axis=0)
                signs += [np.sign(gaps[0] * gaps[1])] if abs(gaps[0]) >= math.log1p(least_difference) else []
        return float(np.mean(signs)), len(signs)


def _predicted(labels: DrawLabels, train: FloatArray, tested: FloatArray) -> FloatArray:
    known, asked = labels.taken(train), labels.taken(tested)
    coefficients = fitted_coefficients(known)
    offsets = fitted_offsets(known, coefficients)
    factors = np.exp([offsets.get(draw.gpu, 0.0) for draw in asked.draws])
    return np.minimum(draw_w(asked.features, coefficients, asked.idle_w, asked.peak_w) * factors, asked.peak_w)


def _weighted_quantile(values: FloatArray, weights: FloatArray, share: float) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][min(len(values) - 1, int(np.searchsorted(total, share * total[-1])))])

"""What a device model learns from, what it learned, and how that is read at other operations."""

import math
from dataclasses import dataclass

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.predict.device_model.efficiency import Across


@dataclass(frozen=True, slots=True)
class MeasuredTimes:
    """N run times: program and device index a workload's programs and the devices, log_s are natural logarithms.

    `spread` (N,) is what else their logarithms may be off by: large for rows of a source that has very many.
    """

    program: IntArray
    device: IntArray
    log_s: FloatArray
    spread: FloatArray | None = None


@dataclass(frozen=True, slots=True)
class EfficiencyWeights:
    """What was learned: of marks on the device and on the host (V, D), of programs (P, D).

    `evidence` is the logarithm of the run times' probability under the terms, in the linearised model.
    """

    device: FloatArray
    host: FloatArray
    program: FloatArray
    evidence: float = -math.inf

    def towards(self, other: "EfficiencyWeights", share: float) -> "EfficiencyWeights":
        """Part of the way to other weights."""
        return EfficiencyWeights(
            self.device + share * (other.device - self.device),
            self.host + share * (other.host - self.host),
            self.program + share * (other.program - self.program),
            other.evidence,
        )


def applied(terms: dict[Across, FloatArray], weights: FloatArray, over: dict[Across, FloatArray]) -> FloatArray:
    """A function at (A, E) from weights (B, D), covariances (A, B) of works and (D, E) of devices."""
    return np.asarray(sum(covariance @ weights @ over[across] for across, covariance in terms.items()))

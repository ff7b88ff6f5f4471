"""How large the submitted jobs are: the scale s of a_ij t_ij in GPU-seconds, and E of e_ij in kWh.

Both are geometric means over the (job, type) pairs submitted so far, so a few giant jobs hardly move them, and they
multiply by c and d when every time is multiplied by c and every energy by d.

Not covered: forgetting. All jobs since the first count alike, so the scale of a site whose jobs change follows slowly.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import exp, log

from kilowait.core.jobs import Prediction

TOLERANCE = 1.1
"""The scale in force is renewed once s * E is off by more than this factor; a grid of kappas is much coarser."""


LOG_TOLERANCE = log(TOLERANCE)

LogScale = tuple[float, float | None]
"""Logarithms of s in GPU-seconds and of E in kWh, None while no pair is known to use energy."""


@dataclass(slots=True, kw_only=True)
class Scale:
    """The running sums of logarithms, and the scale in force, None before the first job.

    The scale in force is the running one as it was when s * E last left the band of `TOLERANCE` around it. It depends
    on the submissions and their order alone, so a replayed log leads to the same one.
    """

    pairs: int = 0
    log_gpu_s_sum: float = 0.0
    energy_pairs: int = 0
    log_energy_kwh_sum: float = 0.0
    in_force: LogScale | None = None

    @property
    def gpu_s(self) -> float:
        """s in force, in GPU-seconds; 0 before the first job."""
        return _exp(None if self.in_force is None else self.in_force[0])

    @property
    def energy_kwh(self) -> float:
        """E in force, in kWh; 0 while no pair is known to use energy."""
        return _exp(None if self.in_force is None else self.in_force[1])

    def add(self, predictions: Mapping[str, Prediction], gpus: Mapping[str, int], share: float = 1.0) -> None:
        """Count a job that takes these `gpus`, `share` of each, on the types, at least one, that it can ever run on.

        Pairs of 0 kWh have no logarithm and are left out of E.
        """
        for gpu_type, count in gpus.items():
            prediction = predictions[gpu_type]
            self.pairs += 1
            self.log_gpu_s_sum += log(count * share) + log(prediction.runtime_s)
            if prediction.energy_kwh > 0:
                self.energy_pairs += 1
                self.log_energy_kwh_sum += log(prediction.energy_kwh)
        self._renew()

    def revise(
        self, before: Mapping[str, Prediction], after: Mapping[str, Prediction], gpu_types: Iterable[str]
    ) -> None:
        """A job that was counted on these types by a guess has its prediction; types that it gained are left out."""
        for gpu_type in gpu_types:
            guess, prediction = before[gpu_type], after[gpu_type]
            self.log_gpu_s_sum += log(prediction.runtime_s) - log(guess.runtime_s)
            if prediction.energy_kwh > 0 and guess.energy_kwh > 0:
                self.log_energy_kwh_sum += log(prediction.energy_kwh) - log(guess.energy_kwh)
        self._renew()

    def _renew(self) -> None:
        mean_energy = self.log_energy_kwh_sum / self.energy_pairs if self.energy_pairs else None
        running = (self.log_gpu_s_sum / self.pairs, mean_energy)
        if _has_moved(self.in_force, running):
            self.in_force = running


def _has_moved(in_force: LogScale | None, running: LogScale) -> bool:
    """Whether the scale in force is missing, or off by more than the tolerance; without E, nothing is weighed by it."""
    if in_force is None or running[1] is None:
        return in_force is None
    if in_force[1] is None:
        return True
    return abs(running[0] + running[1] - in_force[0] - in_force[1]) > LOG_TOLERANCE


def _exp(logarithm: float | None) -> float:
    """e to that power, 0 for None; never infinite, though a job may be as long as a float can say, on many GPUs."""
    return 0.0 if logarithm is None else exp(min(logarithm, 709.0))

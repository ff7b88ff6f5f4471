"""How large the submitted jobs are: the scale s of a_ij t_ij in GPU-seconds, and E of e_ij in kWh.

Both are geometric means over the (job, type) pairs submitted so far, so a few giant jobs hardly move them, and they
multiply by c and d when every time is multiplied by c and every energy by d.

Not covered: forgetting. All jobs since the first count alike, so the scale of a site whose jobs change follows slowly.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from kilowait.jobs import Job, Prediction

TOLERANCE = 1.1
"""The scale in force is renewed once s * E is off by more than this factor; a grid of kappas is much coarser."""


LOG_TOLERANCE = math.log(TOLERANCE)

LogScale = tuple[float, float | None]
"""Logarithms of s in GPU-seconds and of E in kWh, None while no pair is known to use energy."""


@dataclass(frozen=True, slots=True, kw_only=True)
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

    def after(self, job: Job, predictions: Mapping[str, Prediction], options: Iterable[str]) -> "Scale":
        """The scale once `job` is submitted with these `options`: the GPU types, at least one, that it can ever run on.

        Pairs of 0 kWh have no logarithm and are left out of E.
        """
        pairs, times = self.pairs, self.log_gpu_s_sum
        energy_pairs, energies = self.energy_pairs, self.log_energy_kwh_sum
        for gpu_type in options:
            seen = predictions[gpu_type]
            pairs, times = pairs + 1, times + math.log(job.gpus_on(gpu_type)) + math.log(seen.runtime_s)
            if seen.energy_kwh > 0:
                energy_pairs, energies = energy_pairs + 1, energies + math.log(seen.energy_kwh)
        running = (times / pairs, energies / energy_pairs if energy_pairs else None)
        return Scale(
            pairs=pairs,
            log_gpu_s_sum=times,
            energy_pairs=energy_pairs,
            log_energy_kwh_sum=energies,
            in_force=running if _has_moved(self.in_force, running) else self.in_force,
        )


def _has_moved(in_force: LogScale | None, running: LogScale) -> bool:
    """Whether the scale in force is missing, or off by more than the tolerance; without E, nothing is weighed by it."""
    if in_force is None or running[1] is None:
        return in_force is None
    if in_force[1] is None:
        return True
    return abs(running[0] + running[1] - in_force[0] - in_force[1]) > LOG_TOLERANCE


def _exp(logarithm: float | None) -> float:
    """e to that power, 0 for None; never infinite, though a job may be as long as a float can say, on many GPUs."""
    return 0.0 if logarithm is None else math.exp(min(logarithm, 709.0))

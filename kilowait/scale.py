"""How large the submitted jobs are: the scale s of a_ij t_ij in GPU-seconds, and E of e_ij in kWh.

Both are geometric means over the (job, type) pairs submitted so far, so a few giant jobs hardly move them, and they
multiply by c and d when every time is multiplied by c and every energy by d.

Not covered: forgetting. All jobs since the first count alike, so the scale of a site whose jobs change follows slowly.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from kilowait.jobs import Job, Prediction

TOLERANCE = 1.1
"""The scale in force is renewed once s * E is off by more than this factor; a grid of kappas is much coarser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The running sums, and the scale in force: `gpu_s` is s, `energy_kwh` is E, each 0 while nothing is known.

    The scale in force is the running one as it was when s * E last left the band of `TOLERANCE` around it. It depends
    on the submissions and their order alone, so a replayed log leads to the same one.
    """

    pairs: int = 0
    log_gpu_s_sum: float = 0.0
    energy_pairs: int = 0
    log_energy_kwh_sum: float = 0.0
    gpu_s: float = 0.0
    energy_kwh: float = 0.0

    def after(self, job: Job, predictions: Mapping[str, Prediction], options: Iterable[str]) -> "Scale":
        """The scale once `job` is submitted with these `options`: the GPU types, at least one, that it can ever run on.

        Pairs of 0 kWh have no logarithm and are left out of E.
        """
        seen = {gpu_type: predictions[gpu_type] for gpu_type in options}
        times = [math.log(job.gpus_on(gpu_type)) + math.log(p.runtime_s) for gpu_type, p in seen.items()]
        energies = [math.log(p.energy_kwh) for p in seen.values() if p.energy_kwh > 0]
        grown = replace(
            self,
            pairs=self.pairs + len(times),
            log_gpu_s_sum=self.log_gpu_s_sum + math.fsum(times),
            energy_pairs=self.energy_pairs + len(energies),
            log_energy_kwh_sum=self.log_energy_kwh_sum + math.fsum(energies),
        )
        return grown._renewed() if grown._has_moved() else grown

    def _means(self) -> tuple[float, float | None]:
        """The running means of the logarithms of a_ij t_ij and of e_ij, None before the first energy."""
        energy = self.log_energy_kwh_sum / self.energy_pairs if self.energy_pairs else None
        return self.log_gpu_s_sum / self.pairs, energy

    def _has_moved(self) -> bool:
        """Whether the scale in force is missing, or off by more than the tolerance."""
        time, energy = self._means()
        if energy is None:
            return self.gpu_s == 0
        if self.energy_kwh == 0:
            return True
        moved = time + energy - math.log(self.gpu_s) - math.log(self.energy_kwh)
        return abs(moved) > math.log(TOLERANCE)

    def _renewed(self) -> "Scale":
        time, energy = self._means()
        return replace(self, gpu_s=_exp(time), energy_kwh=0.0 if energy is None else _exp(energy))


def _exp(power: float) -> float:
    """e to the power, short of the largest float: a job may be as long as a float can say, on several GPUs."""
    return math.exp(min(power, 709.0))

"""The power limit of a job on each type, by the price at which a policy weighs joules against waiting.

An option is a type and a limit. Before a policy sees a job each type stands for its cheapest limit, so a policy that
chooses a type has chosen both, and none needs to know of limits. When the job starts the limit is chosen anew, since by
then more or fewer jobs wait for the boards that it will hold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kilowait.cluster.standing import Active, Waiting
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job, PowerLimit, Prediction
from kilowait.core.units import WHOLE
from kilowait.policies.decisions import checked_weight


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitPrice:
    """What a limit costs: (1 + congestion * n * a / N) t + s_per_kwh * e, in seconds.

    t are the job's own seconds, later by so much; n jobs wait while it holds a of its type's N boards; e is its energy
    in kWh. The two prices are `patient`'s. Raises InputError for one that is negative or not finite.
    """

    s_per_kwh: float = 1500.0
    congestion: float = 0.3

    def __post_init__(self) -> None:
        checked_weight("s_per_kwh", self.s_per_kwh), checked_weight("congestion", self.congestion)

    def options(self, cluster: Cluster, job: Job, predictions: Mapping[str, Prediction]) -> Mapping[str, Prediction]:
        """Predictions under the cheapest limit of each type; the same object where nothing has a curve."""
        return self.cheapest(cluster.total, len(cluster.waiting) + 1, job, predictions)

    def cheapest(
        self, total: Mapping[str, int], waiting: int, job: Job, predictions: Mapping[str, Prediction]
    ) -> Mapping[str, Prediction]:
        """As `options` on so many boards by type, while so many jobs wait, this one included."""
        if not any(prediction.limits for prediction in predictions.values()):
            return predictions
        return {
            gpu_type: prediction.under(self._cheapest(total, job, gpu_type, prediction.limits, waiting))
            for gpu_type, prediction in predictions.items()
        }

    def at_start(
        self, cluster: Cluster, waiting: Waiting | Active, gpu_type: str, choices: Sequence[PowerLimit] | None = None
    ) -> float | None:
        """The limit of a job that starts now, in watts a board, of `choices` or all known ones; None without any."""
        limits = waiting.predictions[gpu_type].limits if choices is None else choices
        return self._cheapest(cluster.total, waiting.job, gpu_type, limits, len(cluster.waiting) - 1)

    def _cheapest(
        self, total: Mapping[str, int], job: Job, gpu_type: str, limits: Sequence[PowerLimit], waiting: int
    ) -> float | None:
        """A job with a share of a board limits nobody: others may be on it."""
        if not limits or job.gpu_milli != WHOLE:
            return None
        crowd = self.congestion * waiting * job.gpus_on(gpu_type) / max(total.get(gpu_type, 0), 1)

        def cost_s(limit: PowerLimit) -> float:
            return (1 + crowd) * limit.runtime_s + self.s_per_kwh * limit.energy_kwh

        return min(limits, key=cost_s).limit_w

"""By what the power of jobs is limited in a simulation: a price, a budget, both or neither."""

from collections.abc import Mapping

from msgspec import Struct

from kilowait.core.jobs import Job, Prediction
from kilowait.policies.limiting.limit_price import LimitPrice
from kilowait.simulate.within_power.power_budget import PowerBudget


class PowerRules(Struct, frozen=True, kw_only=True):
    """`limits` is the price by which limits are chosen, `budget` are watts that all boards together never pass."""

    limits: LimitPrice | None = None
    budget: PowerBudget | None = None

    def __bool__(self) -> bool:
        return self.limits is not None or self.budget is not None

    def seen(
        self, job: Job, predictions: Mapping[str, Prediction], total: Mapping[str, int], waiting: int
    ) -> Mapping[str, Prediction]:
        """What a policy sees of a job of which so many wait, it included; raises what `PowerBudget.options` raises."""
        found = predictions if self.limits is None else self.limits.cheapest(total, waiting, job, predictions)
        return found if self.budget is None else self.budget.options(job, found)


UNLIMITED = PowerRules()
"""Every board draws what its job does."""

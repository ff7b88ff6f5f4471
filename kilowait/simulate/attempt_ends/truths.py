"""What attempts really take in a simulation, under the power limits that they have."""

from collections.abc import Mapping
from dataclasses import dataclass

from kilowait.core.jobs import Prediction
from kilowait.policies.limiting.limit_choices import held
from kilowait.simulate.run import Placement, Submission


@dataclass(frozen=True, slots=True, kw_only=True)
class Truths:
    """The truth of each job; where limits are `kept`, a job that draws more than its limit is slowed."""

    by_id: Mapping[str, Submission]
    kept: bool

    def whole(self, job_id: str, gpu_type: str, limit_w: float | None, gpus: int) -> Prediction:
        """What the whole job takes under a limit."""
        truth = self.by_id[job_id].truth[gpu_type]
        if limit_w is None:
            return truth
        return held(truth, limit_w, gpus) if self.kept else truth.under(limit_w)

    def rest(self, job_id: str, gpu_type: str, limit_w: float | None, gpus: int, remaining: float) -> Prediction:
        """What an attempt takes in all under a limit: of the whole job, or of what is left of it."""
        truth = self.whole(job_id, gpu_type, limit_w, gpus)
        return truth if remaining == 1 else truth.left(remaining, self.by_id[job_id].job.checkpoint_s or 0.0)

    def attempt(self, placement: Placement, remaining: float) -> Prediction:
        """As `rest`, of an attempt that runs."""
        return self.rest(placement.job_id, placement.gpu_type, placement.limit_w, placement.gpus, remaining)

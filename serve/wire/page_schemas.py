"""What the page at / is made from, as JSON: see `serve.wire.schemas` for the rest of what crosses HTTP."""

from typing import Annotated

from pydantic import Field

from kilowait.core.jobs import Provenance

from .cluster_schemas import ClusterView
from .quota_schemas import QuotaView
from .schemas import ExpectedView, Figure, ProgressView, Wire


class Queued(Wire):
    """A line of the page's queue or of its running jobs; what is another's has no owner and no page of its own."""

    job_id: str
    mine: bool
    visible: bool
    owner: str | None
    gpus: int
    submitted_s: float
    expected: ExpectedView | None
    gpu_type: str | None
    progress: ProgressView | None
    name: str = ""


class AccuracyPoint(Wire):
    """Predicted against measured, a finished job."""

    job_id: str
    gpu_type: str
    predicted_s: float
    measured_s: Figure


class Today(Wire):
    """Energy since midnight UTC; beside it what the rule Simple would have used on the same submissions."""

    since_s: float
    jobs: int
    compared_jobs: int
    energy_kwh: float
    energy_provenance: list[Provenance]
    compared_energy_kwh: float
    simple_energy_kwh: float
    saved_kwh: float
    wait_s: float
    simple_wait_s: float
    simple_provenance: Provenance = Provenance.MODELLED


class UserView(Wire):
    """What somebody has now, and what theirs that ended today used."""

    owner: str
    mine: bool
    running: int
    gpus: int
    waiting: int
    ended: int
    energy_kwh: float
    energy_provenance: list[Provenance]


class PowerDay(Wire):
    """Mean watts of the jobs of a day in steps of `step_s` from `since_s` on; beside it what Simple would have drawn.

    Both are of the same `jobs`; a job's energy, had as `energy_provenance` says, is spread evenly over the time that it
    held GPUs. `used_kwh` and `simple_kwh` are of the whole jobs, those parts too that lie outside of the day.
    """

    since_s: float
    now_s: float
    step_s: float
    jobs: int
    used_w: list[float]
    used_provenance: Provenance
    simple_w: list[float]
    simple_provenance: Provenance = Provenance.MODELLED
    energy_provenance: list[Provenance]
    used_kwh: float
    simple_kwh: float


class Overview(Wire):
    """All that the page shows. Half of today's predictions of run times were within a factor of `median_factor`."""

    cluster: ClusterView
    queue: list[Queued]
    queue_length: int
    running: list[Queued]
    today: Today
    accuracy: list[AccuracyPoint]
    median_error: Figure | None
    median_factor: Figure | None = None
    interval_basis: str
    you: str
    role: str
    users: Annotated[list[UserView], Field(default_factory=list)]
    quotas: Annotated[list[QuotaView], Field(default_factory=list)]

"""What the page at / is made from, as JSON: see `serve.wire.schemas` for the rest of what crosses HTTP."""

from kilowait.core.jobs import Provenance

from .cluster_schemas import ClusterView
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


class Overview(Wire):
    """All that the page shows."""

    cluster: ClusterView
    queue: list[Queued]
    queue_length: int
    running: list[Queued]
    today: Today
    accuracy: list[AccuracyPoint]
    median_error: Figure | None
    interval_basis: str
    you: str
    role: str

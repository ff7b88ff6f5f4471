"""The cluster as JSON: its GPUs by type, and its nodes."""

from pydantic import Field

from .schemas import Figure, Wire
from .texts import Printable

LATEST_S = 1e11


class GpuTypeView(Wire):
    """The GPUs of one type; `held` are taken by others."""

    gpu_type: str
    total: int
    free: int
    held: int
    jobs_running: int
    idle_w: Figure | None


class MaintenanceAsked(Wire):
    """When a node is to be maintained, in seconds since the epoch: no job is started there that would not be over."""

    begins_s: float = Field(ge=0, le=LATEST_S)
    ends_s: float = Field(ge=0, le=LATEST_S, description="not before it begins")
    reason: Printable = ""


class Node(Wire):
    """A node with GPUs; `problem` says why it is not used. `free` of them are, and `jobs_running` have some."""

    node: str
    address: str
    gpu_type: str | None
    gpus: int
    draining: bool
    problem: str | None
    free: int = 0
    jobs_running: int = 0
    maintenance: MaintenanceAsked | None = None


class BudgetStep(Wire):
    """Watts that hold from a time of the day on, until the next."""

    at: str = Field(default="00:00", pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="HH:MM, in UTC")
    watts: float = Field(gt=0, le=1e12)


class PowerBudgetAsked(Wire):
    """What the boards of the cluster and their hosts may draw together, every day."""

    steps: list[BudgetStep] = Field(min_length=1, max_length=288)


class PowerBudgetView(Wire):
    """What may be drawn, and what is promised: modelled, by power limits, idle watts and published peaks.

    `least_w` is the least budget that is known to come, `at_rest_w` what is drawn while no job runs here. `problem`
    says what draws more than the budget and cannot be stopped.
    """

    watts: float | None = Field(description="null for no budget")
    least_w: float | None
    promised_w: float
    at_rest_w: float
    problem: str | None


class ClusterView(Wire):
    """The cluster as it is now."""

    now_s: float
    policy: str
    policy_options: dict[str, float | str | None]
    rule: str
    types: list[GpuTypeView]
    nodes: list[Node]
    waiting: int
    running: int
    stranded: int
    problem: str | None
    power_budget: PowerBudgetView | None = Field(default=None, description="null where there never was one")

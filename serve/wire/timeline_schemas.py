"""Who had, has and will have which boards, and what the coming day brings, as JSON."""

from typing import Annotated, Literal

from pydantic import Field

from kilowait.core.jobs import Provenance

from .schemas import Figure, Wire

BarKind = Literal["finished", "failed", "cancelled", "running", "planned"]


class BoardRow(Wire):
    """A board; `name` is what its node is called."""

    gpu_type: str
    node: str
    name: str
    board: int


class JobBar(Wire):
    """A job on boards, which `rows` numbers; what is another's has no owner and no name.

    `provenance` is of its end, of what is planned of its start too, which is modelled then. `held` says what a job
    waits for though another type has room for it, and of one that has started that it had been held.
    """

    job_id: str
    attempt: int
    mine: bool
    visible: bool
    owner: str | None
    name: str
    kind: BarKind
    gpu_type: str
    gpus: int
    rows: list[int]
    start_s: float
    end_s: float
    provenance: Provenance
    energy_kwh: Figure | None
    held: str | None
    held_since_s: Annotated[
        float | None, Field(description="since when it waited though a type that it may use had room for it")
    ]


class NodeWindowView(Wire):
    """When boards are away or others' alone, and `said` in words why; `rows` numbers them."""

    rows: list[int]
    begins_s: float
    ends_s: float
    said: str


class Timeline(Wire):
    """Boards over time from `since_s` to `until_s`; `svg` is a picture whose elements `data-bar` number the bars."""

    now_s: float
    since_s: float
    until_s: float
    rows: list[BoardRow]
    bars: list[JobBar]
    left_out_bars: Annotated[
        int, Field(description="jobs that are not shown: those that wait or run, and of ended ones 1 for any")
    ]
    left_out_boards: int
    windows: list[NodeWindowView] = Field(default=[], description="maintenance and reservations that have not ended")
    svg: str | None


class ComingSignal(Wire):
    """Means of a signal by step, as it is foreseen; null where nobody knows it."""

    name: str
    unit: str
    values: list[float | None]
    provenance: Provenance = Provenance.MODELLED


class ComingDay(Wire):
    """Mean watts in steps of `step_s` from `since_s` on: of jobs that run, and of those that wait, as they are planned.

    Jobs that nobody has submitted yet are not in it, nor is what idle boards and hosts draw.
    """

    now_s: float
    since_s: float
    step_s: float
    running_w: list[float]
    planned_w: list[float]
    starts: int = Field(description="jobs that wait and are planned to start within the day")
    signals: list[ComingSignal]
    power_provenance: Provenance = Provenance.MODELLED

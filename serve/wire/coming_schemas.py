"""The coming day as the page draws it: see `serve.wire.schemas` for the rest of what crosses HTTP."""

from pydantic import Field

from kilowait.core.jobs import Provenance

from .schemas import Wire


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

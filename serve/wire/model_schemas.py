"""Models that were learnt from finished jobs, as JSON: see `serve.wire.schemas` for the rest of what crosses HTTP."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from .schemas import Wire


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a reason is one line of printable characters")
    return text


Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S"), AfterValidator(_printable)]


class ScoreView(Wire):
    """Errors |log(measured / predicted)| on the newest jobs, which no predictor had seen, by predictor.

    `difference` is the mean of the candidate minus the incumbent's, with its 95% interval; negative is better.
    """

    metric: str
    jobs_kind: str
    jobs: int
    sources: int
    median: dict[str, float]
    mean: dict[str, float]
    incumbent: str
    difference: float
    low: float
    high: float


class ModelView(Wire):
    """A correction of the predictions. `applied` says that predictions are corrected by it now."""

    version: str
    base_version: str
    state: Literal["candidate", "current", "retired"]
    applied: bool
    made_s: float
    jobs: int
    newest_job: str
    newest_s: float
    pretended: bool = Field(description="learnt from pretended measurements; speaks of pretended GPUs alone")
    kept: bool = Field(description="false once only what was said of it is kept: it cannot be promoted")
    said: str
    scores: list[ScoreView]


class ChangeView(Wire):
    """A model was promoted, or rolled back, by whom and why."""

    seq: int
    time_s: float
    action: Literal["promote", "rollback"]
    version: str
    who: str
    reason: str


class DriftView(Wire):
    """The last jobs that the model in force predicted, against what its comparison promised."""

    jobs: int
    median: float
    median_band: float
    coverage: float | None
    coverage_band: float
    beyond: str


class ModelsView(Wire):
    """Every model, the newest first, and every change of what is in force, the last one first."""

    base_version: str | None
    current: str | None
    models: list[ModelView]
    changes: list[ChangeView]
    drift: DriftView | None


class ReasonBody(Wire):
    """Why what is in force is changed."""

    reason: Reason

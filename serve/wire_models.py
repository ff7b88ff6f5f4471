"""Models that were learnt from finished jobs, as JSON: see `serve.wire` for the rest of what crosses HTTP."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from serve.wire import Wire


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("a reason is one line of printable characters")
    return text


Reason = Annotated[str, Field(min_length=1, max_length=500, pattern=r"\S"), AfterValidator(_printable)]


class Score(Wire):
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


class Model(Wire):
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
    scores: list[Score]


class Change(Wire):
    """A model was promoted, or rolled back, by whom and why."""

    seq: int
    time_s: float
    action: Literal["promote", "rollback"]
    version: str
    who: str
    reason: str


class Drift(Wire):
    """The last jobs that the model in force predicted, against what its comparison promised."""

    jobs: int
    median: float
    median_band: float
    coverage: float | None
    coverage_band: float
    beyond: str


class Models(Wire):
    """Every model, the newest first, and every change of what is in force, the last one first."""

    base_version: str | None
    current: str | None
    models: list[Model]
    changes: list[Change]
    drift: Drift | None


class Why(Wire):
    """Why what is in force is changed."""

    reason: Reason

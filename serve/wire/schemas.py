"""What crosses HTTP as JSON, and the only models that do. Times are seconds since the epoch, energies kWh.

Every number that was not typed in by a person stands beside its provenance: measured, estimated, modelled or pretended.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from kilowait.core.jobs import Provenance
from kilowait.core.submission import Launcher
from kilowait.core.submission_limits import MAX_ARCHIVE_TEXT, MAX_ENTRIES
from kilowait.program.source import MAX_SOURCE_BYTES

from .checkpoint_schemas import CheckpointBody
from .texts import Argument, Environment, GpuTypeNames, Image, JobId, LabelName, Printable, Requirements, Software

State = Literal["waiting", "running", "finished", "failed", "cancelled"]


class Wire(BaseModel):
    """A strict model: an unknown field is a mistake that is named, not ignored."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class ProblemDetails(Wire):
    """RFC 9457 problem details. `field` is what is wrong, `remedy` what to do about it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    field: str | None = None
    remedy: str
    errors: list[dict[str, str]] = []


class SourceBody(Wire):
    """A program's text; `name` is for messages only, or with `files` its path among them."""

    source: str = Field(max_length=MAX_SOURCE_BYTES, description="the program's text, UTF-8, at most 1 MB")
    name: str = Field(default="main.py", max_length=200)
    files: dict[str, str] = Field(default={}, max_length=MAX_ENTRIES, description="what it imports, text by path")
    arguments: list[Argument] = Field(default=[], max_length=MAX_ENTRIES)
    gpus: int | None = Field(default=None, ge=1, le=100_000, description="GPUs it takes; left out: read from it")
    gpu_types: GpuTypeNames = Field(default=[], description="types beside those of the cluster")
    software: Software = None
    environment: Environment = {}


class SubmissionBody(Wire):
    """A job: `source` for one file, or `archive`, a zip in base64, with the `entrypoint` in it."""

    source: str | None = Field(default=None, max_length=MAX_SOURCE_BYTES)
    archive: str | None = Field(default=None, max_length=MAX_ARCHIVE_TEXT, description="a zip of text files, in base64")
    entrypoint: str = Field(default="main.py", max_length=200, description="the file that is run")
    arguments: list[Argument] = Field(default=[], max_length=MAX_ENTRIES)
    environment: Environment = {}
    gpus: int | None = Field(default=None, ge=1, le=100_000, description="GPUs it takes; left out: read from it")
    gpu_types: GpuTypeNames | None = Field(default=None, description="types it may use; left out: read, else any")
    gpu_milli: int = Field(default=1000, ge=1, le=1000, description="thousandths of one board, for a job of one GPU")
    one_node: bool = Field(default=False, description="all its GPUs on one node")
    memory_bytes: int | None = Field(default=None, ge=0, description="what it needs on each GPU")
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000, description="larger is more urgent; for policy fair")
    deadline: datetime | None = Field(default=None, description="when to be done, with a time zone; not enforced")
    slack_s: float | None = Field(
        default=None, ge=0, lt=1e9, description="how long it may be kept for better hours; left out: as the site says"
    )
    after: list[JobId] = Field(
        default=[], max_length=MAX_ENTRIES, description="own jobs, or arrays, after which it runs, once they ended well"
    )
    after_any: bool = Field(default=False, description="once these ended in any way")
    name: Printable = Field(default="", description="what it is called in lists; several may be called alike")
    labels: dict[LabelName, Printable] = Field(default={}, max_length=MAX_ENTRIES)
    timeout_s: float | None = Field(default=None, gt=0, lt=1e9)
    outputs: list[Argument] = Field(default=[], max_length=MAX_ENTRIES, description="what is kept of its folder")
    software: Software = None
    requirements: Requirements = {}
    image: Image = None
    launcher: Launcher = Field(default="python", description="what starts it on each of its nodes")
    secrets: list[Annotated[str, Field(max_length=100)]] = Field(
        default=[], max_length=MAX_ENTRIES, description="names of one's secrets that it sees as variables"
    )
    checkpoint: CheckpointBody | None = Field(default=None, description="how it is preempted; left out: it is not")
    max_attempts: int = Field(default=3, ge=1, le=100)
    force: bool = Field(default=False, description="accept it though its memory fits no type that it may use")

    @model_validator(mode="after")
    def _one_program(self) -> "SubmissionBody":
        if (self.source is None) == (self.archive is None):
            raise ValueError("give source (one file) or archive (a zip in base64), one of the two")
        if self.deadline is not None and self.deadline.tzinfo is None:
            raise ValueError("deadline needs a time zone, as in 2026-11-21T18:00:00+00:00")
        return self


class Expectation(Wire):
    """What is expected of a job on one GPU type; the ends of 90% intervals are null where the probe gives none."""

    runtime_s: float
    runtime_low_s: float | None = None
    runtime_high_s: float | None = None
    energy_kwh: float
    energy_low_kwh: float | None = None
    energy_high_kwh: float | None = None
    provenance: Provenance = Provenance.MODELLED
    features: str


class AskedFor(Wire):
    """What the source itself says about GPUs, and where it says so."""

    gpus: int
    gpu_types: list[str] | None
    evidence: list[str]


class MemoryNeedView(Wire):
    """What a program needs of one GPU's memory, with the ends of a 90% interval; `parts_bytes` add up to it."""

    fitting: Literal["fits", "close", "does not fit"]
    fits: bool = Field(description="whether the expected need fits")
    low_bytes: int
    expected_bytes: int
    high_bytes: int
    available_bytes: int
    dominant: str = Field(description="the largest part")
    parts_bytes: dict[str, int]
    provenance: Provenance = Provenance.MODELLED


class PredictionView(Wire):
    """The answer to predict. `cached` says that the same text was predicted by the same probe before."""

    content_hash: str
    probe_version: str
    cached: bool
    asks_for: AskedFor
    by_type: dict[str, Expectation]
    dry_run: str = Field(description="what the dry run of the program found; GPU types without labels need it")
    memory: dict[str, str] = Field(default={}, description="GPU types with too little memory, and why")
    memory_needs: dict[str, MemoryNeedView] = Field(default={}, description="by GPU type")


class Figure(Wire):
    """A number and how it was had."""

    value: float
    provenance: Provenance


class PostponedView(Wire):
    """A waiting job that is kept for better hours: until when, on which type, and in a sentence what that saves.

    `amounts` are what it is foreseen to come to then, and `at_once` what it would have come to when that was decided:
    by signal (carbon in g, water in L, price in USD).
    """

    until_s: float
    since_s: float
    gpu_type: str
    summary: str
    amounts: dict[str, Figure]
    at_once: dict[str, Figure]


class AttemptView(Wire):
    """One attempt at a job."""

    attempt: int
    gpu_type: str
    gpus: int
    nodes: list[str]
    placed_s: float
    started_s: float | None
    ended_s: float | None
    exit_code: int | None
    reason: str | None
    runtime_s: Figure | None
    energy_kwh: Figure | None
    meter: str | None
    peak_memory_bytes: int | None
    carbon_g: Figure | None = Field(default=None, description="grams of CO2 by the site's signal")
    water_l: Figure | None = Field(default=None, description="litres of water by the site's signal")
    electricity_usd: Figure | None = Field(default=None, description="its electricity by the site's price")


class ExpectedView(Wire):
    """When a job is expected to start and end; all modelled. The interval of the start is of 90%, null if unknown."""

    gpu_type: str
    gpus: int
    start_s: float
    start_low_s: float | None
    start_high_s: float | None
    end_s: float
    energy_kwh: float
    provenance: Provenance = Provenance.MODELLED
    late: bool | None = Field(default=None, description="whether it is expected to end after its deadline")


class StepsView(Wire):
    """How far a running job says it is, and what is expected of it by that; its end's interval is meant to hold 90%.

    `seen_s` is when that was seen. `runtime_s` counts from the placement; `ratio` is that over what was predicted.
    """

    done: float
    total: float
    seen_s: float
    end_s: float
    end_low_s: float | None
    end_high_s: float | None
    runtime_s: float
    energy_kwh: float
    ratio: float
    done_provenance: Provenance = Provenance.MEASURED
    provenance: Provenance = Provenance.ESTIMATED


class ProgressView(Wire):
    """How far a running job is: seconds since its program started over the seconds that were predicted."""

    run_s: float
    predicted_s: float
    share: float
    run_provenance: Provenance
    predicted_provenance: Provenance = Provenance.MODELLED
    power_w: Figure | None
    steps: StepsView | None = Field(default=None, description="what it says itself of its steps, null before it does")
    power_limit_w: float | None = Field(default=None, description="of each of its boards, null for their own")


class JobView(Wire):
    """A job as it stands."""

    job_id: str
    owner: str
    state: State
    reason: str | None
    submitted_s: float
    ended_s: float | None
    cancel_asked_s: float | None
    gpus: int
    gpu_milli: int
    gpu_types: list[str] | None
    priority: int
    deadline: str | None
    labels: dict[str, str]
    entrypoint: str
    arguments: list[str]
    content_hash: str
    probe_version: str
    by_type: dict[str, Expectation]
    attempts: list[AttemptView]
    expected: ExpectedView | None
    progress: ProgressView | None
    prediction: str | None = Field(default=None, description="which prediction held when, where it began as a guess")
    dry_run: str = Field(default="", description="what the dry run found, and what it assumed")
    name: str = Field(default="", description="what it is called")
    array: str | None = Field(default=None, description="the job array that it is a task of")
    task: int | None = Field(default=None, description="its number in the array")
    secrets: list[str] = Field(default=[], description="names of the secrets that it is given")
    slack_s: float | None = Field(default=None, description="how long it may be kept for better hours")
    after: list[str] = Field(default=[], description="jobs after which it runs")
    after_any: bool = Field(default=False, description="whether these may end badly")
    kept: PostponedView | None = Field(default=None, description="what it is kept for while it waits")
    kind: Literal["job", "shell"] = Field(default="job", description="a shell has a terminal")
    checkpoint: CheckpointBody | None = Field(default=None, description="how it is preempted, null where it is not")


class JobsPage(Wire):
    """A page of jobs by id; `next` is the `after` of the next page, null on the last."""

    jobs: list[JobView]
    next: str | None


class Submitted(Wire):
    """A job that is accepted: durable when this is read."""

    job_id: str
    probe_version: str
    asks_for: AskedFor
    by_type: dict[str, Expectation]
    warnings: list[str]


class LogPiece(Wire):
    """Part of a log: `text` begins at byte `offset`; go on at `next`. `ended` says that there will be no more."""

    offset: int
    next: int
    text: str
    ended: bool
    missing: int = Field(default=0, description="bytes before it that are no longer kept")

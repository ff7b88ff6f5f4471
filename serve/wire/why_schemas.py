"""The answers to why and what-if as JSON: see `serve.wire.schemas` for the rest of what crosses HTTP."""

from pydantic import Field

from kilowait.core.jobs import Provenance

from .schemas import ExpectedView, State, StepsView, Wire


class ChoiceView(Wire):
    """One GPU type as a policy saw it; `ahead` waiting jobs come before for this type (null for what is past)."""

    gpu_type: str
    gpus: int
    free: int
    total: int
    fits: bool
    runtime_s: float
    energy_kwh: float
    provenance: Provenance = Provenance.MODELLED
    rating: float | None
    ahead: int | None
    chosen: bool


class Why(Wire):
    """Why a job waits, or got its type: the numbers the policy went by, and what would have to change."""

    job_id: str
    state: State
    policy: str
    rule: str
    criterion: str | None
    larger_first: bool
    at_s: float
    summary: str
    types: list[ChoiceView]
    not_possible: dict[str, str]
    would_change: list[str]
    expected: ExpectedView | None
    interval_basis: str | None
    prediction: str | None = Field(default=None, description="which prediction held when, where it began as a guess")
    dry_run: str = Field(default="", description="what the program's dry run found, and what it assumed")
    seen: str | None = Field(default=None, description="how what was seen to run differs from what was predicted")
    steps: StepsView | None = Field(default=None, description="what a running job says of its steps")


class IfOn(Wire):
    """What a job would get on one GPU type, or `not_possible`, why it can never run there."""

    gpu_type: str | None
    expected: ExpectedView | None
    not_possible: str | None


class WhatIf(Wire):
    """What a job would get if it were submitted now; nothing is submitted. `free_choice` leaves it to the policy."""

    now_s: float
    policy: str
    waiting: int
    free_choice: IfOn
    held_to: list[IfOn]
    probe_version: str
    interval_basis: str
    provenance: Provenance = Provenance.MODELLED

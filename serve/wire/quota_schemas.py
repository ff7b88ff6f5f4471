"""Quotas as they cross HTTP."""

from typing import Annotated

from pydantic import Field

from kilowait.core.quotas import MAX_MEMBERS

from .schemas import Wire
from .texts import Owner

MOST = 1_000_000_000


class QuotaAsked(Wire):
    """What a project may have, or each user; without a limit it is none."""

    members: list[Owner] = Field(default=[], max_length=MAX_MEMBERS, description="none: it is of every user alone")
    gpus: int | None = Field(default=None, ge=1, le=MOST, description="held at a time")
    jobs: int | None = Field(default=None, ge=1, le=MOST, description="that wait; more are refused")
    kwh: float | None = Field(default=None, gt=0, le=MOST, description="of 30 days, as predicted")


class QuotaHad(Wire):
    """What counts against a quota now."""

    gpus: float
    jobs: int
    kwh: float


class QuotaView(Wire):
    """A quota, and what is had of it: by its members together or, where it is of each user, by who asks."""

    name: str
    members: list[str]
    gpus: int | None
    jobs: int | None
    kwh: float | None
    had: QuotaHad


class QuotaList(Wire):
    """The quotas that concern who asks; an operator's are all."""

    quotas: list[QuotaView]


QuotaName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f/]*$")]

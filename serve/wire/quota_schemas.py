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
    cost: float | None = Field(default=None, gt=0, le=MOST, description="of GPUs in 30 days, by the site's prices")
    admins: list[Owner] = Field(
        default=[],
        max_length=100,
        description="of a project: they see and cancel its members' jobs, and remove members",
    )


class QuotaHad(Wire):
    """What counts against a quota now."""

    gpus: float
    jobs: int
    kwh: float
    cost: float = 0.0


class MemberHad(QuotaHad):
    """What counts of one member."""

    user: str


class QuotaView(Wire):
    """A quota, and what is had of it: by its members together or, where it is of each user, by who asks."""

    name: str
    members: list[str]
    gpus: int | None
    jobs: int | None
    kwh: float | None
    cost: float | None = None
    admins: Annotated[list[str], Field(default_factory=list)]
    had: QuotaHad
    by_member: list[MemberHad] = Field(default=[], description="for operators and administrators, who have something")


class QuotaList(Wire):
    """The quotas that concern who asks; an operator's are all."""

    quotas: list[QuotaView]


QuotaName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f/]*$")]

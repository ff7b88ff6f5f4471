"""Reservations of nodes as they cross HTTP."""

from typing import Annotated

from pydantic import Field

from kilowait.core.maintenance import MOST_NAMES

from .cluster_schemas import LATEST_S
from .schemas import Wire
from .texts import Owner, Printable

Names = Annotated[list[Owner], Field(max_length=MOST_NAMES)]


class ReservationAsked(Wire):
    """Nodes that are kept for users and for members of projects, in seconds since the epoch; name some of either."""

    nodes: Names = Field(min_length=1, description="by their whole names, as in /v1/cluster")
    begins_s: float = Field(ge=0, le=LATEST_S)
    ends_s: float = Field(ge=0, le=LATEST_S, description="not before it begins")
    users: Names = Field(default=[])
    projects: Names = Field(default=[], description="by the names of their quotas")
    reason: Printable = ""


class ReservationView(ReservationAsked):
    """A reservation that has not ended."""

    name: str


class ReservationList(Wire):
    """All of them, the first to begin first."""

    reservations: list[ReservationView]

"""Whether the service can do its work, and how it keeps jobs apart, as JSON."""

from typing import Literal

from .schemas import Wire


class Isolation(Wire):
    """What holds of the isolation of jobs: `missing` says what stronger there could be and what it needs.

    `nodes` says it of the nodes where something else holds than where the service runs, by their address.
    """

    asked: str
    holds: str
    summary: str
    missing: list[str]
    nodes: dict[str, str]


class Health(Wire):
    """Whether the service can do its work."""

    status: Literal["ok", "degraded"]
    version: str
    scheduler: str
    predictor: str
    isolation: Isolation

"""Shells as JSON: what one is asked for with, and what is typed."""

from typing import Annotated

from pydantic import Field

from kilowait.core.submission_limits import MAX_ENTRIES

from ..wire.schemas import Wire
from ..wire.texts import Argument, Environment, GpuTypeNames, Image, LabelName, Printable, Software

LENGTH_S, IDLE_S = 3600.0, 1800.0
"""How long a shell is there, and how long it may be idle, where nobody says."""
MOST_IDLE_S = 7 * 86400.0
MOST_KEYS = 16_384
Cells = Annotated[int, Field(ge=1, le=10_000)]


class ShellBody(Wire):
    """A shell on one node: bash, or a `command` in its place."""

    gpus: int = Field(default=1, ge=1, le=100_000, description="GPUs, all on one node")
    gpu_types: GpuTypeNames | None = Field(default=None, description="types it may use; left out: any")
    gpu_milli: int = Field(default=1000, ge=1, le=1000, description="thousandths of one board, for a shell of one GPU")
    memory_bytes: int | None = Field(default=None, ge=0, description="what it needs on each GPU")
    priority: int = Field(default=0, ge=-1_000_000, le=1_000_000)
    length_s: float = Field(default=LENGTH_S, gt=0, lt=1e9, description="it is planned for so long, and ended then")
    idle_s: float = Field(default=IDLE_S, gt=0, le=MOST_IDLE_S, description="ended once it was idle for so long")
    command: list[Argument] = Field(default=[], max_length=MAX_ENTRIES, description="what runs in it, in bash's place")
    environment: Environment = Field(default_factory=dict)
    software: Software = None
    image: Image = None
    secrets: list[Annotated[str, Field(max_length=100)]] = Field(default=[], max_length=MAX_ENTRIES)
    name: Printable = ""
    labels: dict[LabelName, Printable] = Field(default={}, max_length=MAX_ENTRIES)
    term: str = Field(
        default="xterm", pattern=r"^[A-Za-z0-9][A-Za-z0-9.+_-]{0,60}$", description="the kind of terminal"
    )


class TypedKeys(Wire):
    """What is typed, and the size of the terminal from then on."""

    keys: str = Field(default="", max_length=MOST_KEYS)
    rows: Cells | None = None
    columns: Cells | None = None

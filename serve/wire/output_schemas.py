"""Files that jobs keep, as JSON."""

from pydantic import Field

from .schemas import Wire


class KeptFileView(Wire):
    """A file, by its path in the job's folder."""

    path: str
    bytes: int


class KeptView(Wire):
    """What was kept on one node of the job, and how many files it wrote that were not, the first of them by name."""

    rank: int
    files: list[KeptFileView]
    left: int
    left_names: list[str]
    problem: str = Field(description="why not all is there that was to be kept; empty where it is")


class Outputs(Wire):
    """What a job kept; `attempt` is null where it kept nothing, or nothing yet."""

    job_id: str
    attempt: int | None
    nodes: list[KeptView]

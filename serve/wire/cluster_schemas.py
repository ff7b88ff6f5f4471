"""The cluster as JSON: its GPUs by type, and its nodes."""

from .schemas import Figure, Wire


class GpuTypeView(Wire):
    """The GPUs of one type; `held` are taken by others."""

    gpu_type: str
    total: int
    free: int
    held: int
    jobs_running: int
    idle_w: Figure | None


class Node(Wire):
    """A node with GPUs; `problem` says why it is not used. `free` of them are, and `jobs_running` have some."""

    node: str
    address: str
    gpu_type: str | None
    gpus: int
    draining: bool
    problem: str | None
    free: int = 0
    jobs_running: int = 0


class ClusterView(Wire):
    """The cluster as it is now."""

    now_s: float
    policy: str
    policy_options: dict[str, float | str | None]
    rule: str
    types: list[GpuTypeView]
    nodes: list[Node]
    waiting: int
    running: int
    stranded: int
    problem: str | None

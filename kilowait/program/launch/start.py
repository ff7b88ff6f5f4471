"""What a start comes to: a program with its arguments, as one of so many processes, and what the first of them sees."""

from collections.abc import Mapping
from dataclasses import dataclass, field

MASTER = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A program as a launcher starts it.

    `program` is a path as it was written, or with `is_module` a dotted name; `folder` is the working folder relative to
    where the command was given. `processes` are all of them on `nodes`, `environment` what the first of them sees,
    `gpus` those of all nodes where something else than the number of processes says so (0: nothing does).
    `words` are the command as it was understood, without variables, and `notes` what was left aside. `beside` is what
    the same script runs too, or how often it runs this, so that its time is not the program's alone.
    """

    program: str
    arguments: tuple[str, ...] = ()
    is_module: bool = False
    folder: str = "."
    processes: int = 1
    nodes: int = 1
    environment: Mapping[str, str] = field(default_factory=dict)
    gpus: int = 0
    words: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()


def ranks(processes: int, nodes: int, port: str = "") -> dict[str, str]:
    """The variables of the first of `processes` on `nodes`, as PyTorch's launchers set them."""
    local = max(1, processes // max(1, nodes))
    return {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "NODE_RANK": "0",
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(local),
        **MASTER,
        **({"MASTER_PORT": port} if port else {}),
    }

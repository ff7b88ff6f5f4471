"""mpi4py where it is missing: this process is rank 0 of the world that its launcher made, its peers send what it has.

Not covered: what is exchanged takes no time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any

from kilowait.predict.dryrun.standins.hooks import ImportHooks
from kilowait.predict.dryrun.standins.packages.inert import Inert, InertModule

NAME = "mpi4py"
SUM = Inert()
_SIZES = ("WORLD_SIZE", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS")
_RANKS = ("RANK", "OMPI_COMM_WORLD_RANK", "PMI_RANK", "SLURM_PROCID")


def stand_in_message_passing(hooks: ImportHooks, assume: Callable[[str, str], None]) -> None:
    """Let the program import mpi4py; libraries that ask whether it is there are told the truth."""

    def make(name: str) -> ModuleType:
        module = InertModule(name)
        if name == NAME:
            module.__dict__["MPI"] = make(f"{NAME}.MPI")
        elif name == f"{NAME}.MPI":
            communicator = MissingCommunicator()
            module.__dict__.update(COMM_WORLD=communicator, SUM=SUM)
            said = f"{NAME} is missing: rank {communicator.rank} of {communicator.size}, exchanges take no time"
            assume(said, "modelled")
        return module

    hooks.instead(NAME, make)
    hooks.only_for_the_program(NAME)


class MissingCommunicator(Inert):
    """A communicator in which every rank has what this one has; what is not here is inert."""

    def __init__(self) -> None:
        super().__init__()
        self.rank, self.size = _number(_RANKS, 0), _number(_SIZES, 1)

    def Get_rank(self) -> int:  # noqa: N802 - the library's name
        """Of this process."""
        return int(self.rank)

    def Get_size(self) -> int:  # noqa: N802 - the library's name
        """How many processes there are."""
        return int(self.size)

    def bcast(self, obj: Any = None, root: int = 0) -> Any:
        """What the root has."""
        return obj

    def allreduce(self, sendobj: Any, op: Any = SUM, root: int = 0) -> Any:
        """The sum of what all have, which is the same; any other result of the same is that."""
        return sendobj * self.Get_size() if op is SUM else sendobj

    reduce = allreduce

    def allgather(self, sendobj: Any) -> list[Any]:
        """One of each rank."""
        return [sendobj] * self.Get_size()

    def gather(self, sendobj: Any, root: int = 0) -> Any:
        """One of each rank at the root, nothing elsewhere."""
        return self.allgather(sendobj) if self.rank == root else None

    def scatter(self, sendobj: Any = None, root: int = 0) -> Any:
        """This rank's part."""
        return None if sendobj is None else sendobj[self.Get_rank()]

    def Split(self, color: int = 0, key: int = 0) -> Any:  # noqa: N802 - the library's name
        """The same: how many are of a colour is not known."""
        return self

    Dup = Clone = Split_type = Split

    def Abort(self, errorcode: int = 0) -> None:  # noqa: N802 - the library's name
        """The end of the program."""
        raise SystemExit(errorcode)


def _number(names: tuple[str, ...], default: int) -> int:
    texts = (os.environ.get(name, "") for name in names)
    return next((int(text) for text in texts if text.isdigit()), default)

"""How a program that can go on from a checkpoint is asked to write one, and to end."""

import signal
from typing import Literal, get_args

from msgspec import Struct

from kilowait.core.errors import InputError

StopSignal = Literal["TERM", "INT", "HUP", "USR1", "USR2"]
"""What a program may be told by; the others end it, stop it or are the kernel's."""
MOST_GRACE_S = 3600.0
PREEMPTED = "preempted"
"""The reason of an attempt that gave its GPUs back at a checkpoint."""


class Checkpointing(Struct, frozen=True, kw_only=True):
    """`signal` is sent to the program's process group; then it writes its checkpoint and ends, within `grace_s`.

    It is killed after that. In every attempt but the first it is called with `arguments` behind its own, and finds in
    its folder what the last attempt left of its outputs.
    """

    signal: StopSignal = "TERM"
    grace_s: float = 60.0
    arguments: tuple[str, ...] = ()

    @property
    def signal_number(self) -> int:
        """As the kernel counts it."""
        return signal.Signals[f"SIG{self.signal}"].value


def check_checkpointing(restart_s: float | None, checkpointing: Checkpointing | None) -> None:
    """Raises InputError where a job says only half of how it goes on, or what cannot be."""
    if (restart_s is None) != (checkpointing is None):
        raise InputError(
            "a job that can be preempted says both how long it takes to go on (checkpoint_s) and how its program is "
            "asked to write a checkpoint (checkpointing); give both or none"
        )
    if checkpointing is None:
        return
    if checkpointing.signal not in get_args(StopSignal):
        known = ", ".join(get_args(StopSignal))
        raise InputError(f"checkpoint signal {checkpointing.signal!r}: choose one of {known}")
    if not 0 < checkpointing.grace_s <= MOST_GRACE_S:
        limit = f"must be > 0 and <= {MOST_GRACE_S:g} s"
        raise InputError(f"checkpoint grace_s {limit}, got {checkpointing.grace_s!r}")

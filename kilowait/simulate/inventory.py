"""A cluster's GPUs by type and node, as people write them on a command line."""

import re
from collections.abc import Mapping

from kilowait.core.errors import InputError

_NODES = re.compile(r"(?:([0-9]{1,6})x)?([0-9]{1,15})", re.ASCII)
"""N GPUs of one node, or MxN: M nodes of N each."""

MOST_NODES = 100_000
"""More nodes than that are a slip of the keyboard."""


def parse_nodes(text: str) -> dict[str, tuple[int, ...]]:
    """Read `A100=16,A6000=2x8+4`, types in the order given: the GPUs of each node.

    16 are on one node, 2x8 on two of 8, and +4 adds one of 4. Raises InputError showing the part that is wrong.
    """
    inventory: dict[str, tuple[int, ...]] = {}
    for part in text.split(","):
        name, _, counts = (piece.strip() for piece in part.rpartition("="))
        nodes = _nodes(counts)
        if not (name and nodes):
            raise InputError(
                f"{part!r} is not TYPE=N with a whole N >= 1, as in A100=16,A6000=30, or TYPE=MxN for M nodes of N GPUs"
            )
        if name in inventory:
            raise InputError(f"{name!r} stands twice; give each type once")
        inventory[name] = nodes
    return inventory


def several_nodes(nodes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """The types whose GPUs are not all on one node."""
    return {gpu_type: counts for gpu_type, counts in nodes.items() if len(counts) > 1}


def _nodes(text: str) -> tuple[int, ...]:
    """The GPUs of each node, () where the text is not that."""
    counts: list[int] = []
    for term in text.split("+"):
        match = _NODES.fullmatch(term.strip())
        times, gpus = (int(match[1] or 1), int(match[2])) if match else (0, 0)
        if times < 1 or gpus < 1 or len(counts) + times > MOST_NODES:
            return ()
        counts += [gpus] * times
    return tuple(counts)

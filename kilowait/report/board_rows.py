"""Which boards of a node had which job, for a picture: boards are numbered as they are first free."""

from collections.abc import Iterable, Iterator, Mapping

from kilowait.core.jobs import Held

Row = tuple[str, str, int]
"""GPU type, node, and the number of a board on it."""


class BoardRows:
    """All boards of `nodes` (boards by type and node) as rows, given to jobs in the order of their starts."""

    def __init__(self, nodes: Mapping[tuple[str, str], int]) -> None:
        self._free_s = {(t, node, board): 0.0 for (t, node), gpus in nodes.items() for board in range(gpus)}
        self._of: dict[tuple[str, str], list[Row]] = {}
        for row in self._free_s:
            self._of.setdefault(row[:2], []).append(row)
        self._shared: dict[tuple[str, str, int], Row] = {}

    @property
    def rows(self) -> tuple[Row, ...]:
        """Every board, by type and node as they were given."""
        return tuple(self._free_s)

    def give(self, gpu_type: str, where: Iterable[Held], start_s: float, end_s: float) -> tuple[Row, ...]:
        """The rows of a job that holds boards of one type from `start_s` to `end_s`; none of a node that is unknown."""
        rows = tuple(row for held in where for row in self._boards(gpu_type, held, start_s))
        for row in rows:
            self._free_s[row] = max(self._free_s[row], end_s)
        return rows

    def _boards(self, gpu_type: str, held: Held, start_s: float) -> Iterator[Row]:
        """The rows of what is held on a node; a shared board keeps its row while somebody has a share of it."""
        rows = self._of.get((gpu_type, held.node), [])
        key = None if held.board is None else (gpu_type, held.node, held.board)
        if key is not None and key in self._shared and self._free_s[self._shared[key]] > start_s:
            yield self._shared[key]
            return
        free = [row for row in rows if self._free_s[row] <= start_s]
        chosen = (free or rows)[: held.gpus]
        if key is not None and chosen:
            self._shared[key] = chosen[0]
        yield from chosen

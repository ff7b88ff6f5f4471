"""CUDA graphs in a dry run: what is captured is done once for every replay, and not while it is captured.

Not covered: what `make_graphed_callables` does to warm up.
"""

from __future__ import annotations

from typing import Any

import torch

from kilowait.predict.dryrun.recorder import Recorder
from kilowait.predict.dryrun.tally import Tally


def pretend_graphs(recorder: Recorder) -> None:
    """Replace graphs and what captures them."""

    class CUDAGraph:
        """What was captured, as counts of its operations."""

        def __init__(self, *_: Any, **__: Any) -> None:
            self.captured: Tally | None = None

        def capture_begin(self, *_: Any, **__: Any) -> None:
            """From here on operations are part of the graph."""
            self.captured = recorder.tallies.begin()

        def capture_end(self) -> None:
            """Up to here; nothing of it has been done yet."""
            if self.captured is not None:
                recorder.tallies.end(self.captured)
                recorder.tallies.settle(self.captured, 0.0)

        def replay(self) -> None:
            """Do what was captured."""
            if self.captured is None or recorder.muted:
                return
            tally = recorder.tallies.open
            for key, count in self.captured.counts.items():
                tally.counts[key] = tally.counts.get(key, 0.0) + count
            tally.steps += self.captured.steps
            tally.calls += 1

        def reset(self) -> None:
            """Forget it."""
            self.captured = None

        def pool(self) -> tuple[int, int]:
            """A name of its memory."""
            return 0, 0

        def enable_debug_mode(self) -> None: ...

        def debug_dump(self, *_: Any) -> None: ...

    class Capture:
        """`torch.cuda.graph`."""

        def __init__(self, cuda_graph: Any, *_: Any, **__: Any) -> None:
            self.cuda_graph = cuda_graph

        def __enter__(self) -> None:
            self.cuda_graph.capture_begin()

        def __exit__(self, *_: object) -> None:
            self.cuda_graph.capture_end()

    for owner in (torch.cuda, torch.cuda.graphs):
        for name, replacement in (("CUDAGraph", CUDAGraph), ("graph", Capture)):
            setattr(owner, name, replacement)
        for name, answer in (("graph_pool_handle", _pool), ("make_graphed_callables", _themselves)):
            setattr(owner, name, answer)


def _pool() -> tuple[int, int]:
    return 0, 0


def _themselves(callables: Any, *_: Any, **__: Any) -> Any:
    """Each call does what the callable does."""
    return callables

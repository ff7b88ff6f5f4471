"""L-BFGS on tensors without data: PyTorch's own looks at the gradient, finds nothing to do and stops at once.

A step evaluates its closure as often as it may, which is an upper bound.

Not covered: the products with the vectors of its history.

Only for a child that does nothing but a dry run: there is no way back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from kilowait.predict.dryrun.recorder import Recorder


def pretend_lbfgs(recorder: Recorder) -> None:
    """Replace what an L-BFGS step does."""

    @torch.no_grad()
    def step(self: Any, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        parameters = [p for p in group["params"] if isinstance(p, Tensor)]
        count = _evaluations(group)
        recorder.guess(f"L-BFGS evaluates its closure at most {count} times a step; as many were assumed")
        recorder.assume(f"each step of L-BFGS evaluates its closure {count} times, the most it may", "modelled")
        loss = None
        for item, weight in ((0, 1.0), (1, count - 1.0)):
            if weight > 0:
                tally = recorder.tallies.begin()
                with torch.enable_grad():
                    loss = closure() if loss is None or item else loss
                _direction(parameters)
                recorder.tallies.end(tally)
                recorder.tallies.settle(tally, weight)
        return loss

    setattr(torch.optim.LBFGS, "step", step)  # noqa: B010 - the checker has another type for it


def _evaluations(group: dict[str, Any]) -> int:
    """The most evaluations of a closure in a step: one an iteration, more where a line search asks for them."""
    most = int(group["max_eval"] or group["max_iter"] * 5 // 4)
    return most if group.get("line_search_fn") else min(most, int(group["max_iter"]))


def _direction(parameters: list[Tensor]) -> None:
    """The next direction, and the step along it."""
    gradient = torch.cat([(p if p.grad is None else p.grad).reshape(-1) for p in parameters])
    direction = gradient.neg()
    offset = 0
    for parameter in parameters:
        parameter.add_(direction[offset : offset + parameter.numel()].view_as(parameter), alpha=1.0)
        offset += parameter.numel()

"""Make a process ready for dry runs: PyTorch loaded, a GPU pretended where that is the target, first calls made."""

from __future__ import annotations

import gc

import torch

import kilowait.predict.dryrun.execute  # noqa: F401 - so that children find it loaded
from kilowait.predict.dryrun.child.no_compiler import leave_compiler_out
from kilowait.predict.dryrun.pretend.gpu import let_modules_move, pretend_gpu
from kilowait.predict.dryrun.recorder import Recorder, tracing


def warm(target: str, *, once: bool = False) -> None:
    """Pay once what the first dry run of a process costs; there is no way back from the pretended GPU.

    A process that is asked `once` spares what few programs need, who load it then, and what only many runs repay.
    """
    torch.set_num_threads(1)
    if once:
        leave_compiler_out()
    if target == "cuda":
        pretend_gpu()
    let_modules_move()
    with tracing(Recorder(target=target)):
        model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Linear(8, 8))
        model = model.to(target)
        optimizer = torch.optim.AdamW(model.parameters())
        output = model(torch.randn(2, 3, 10, 10, device=target)).flatten(1)
        loss = torch.nn.functional.cross_entropy(output, torch.zeros(2, dtype=torch.long, device=target))
        torch.autograd.backward(loss)
        optimizer.step()
    if not once:
        gc.collect()
    gc.freeze()
    gc.enable()

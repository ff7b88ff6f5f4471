"""A device's own ways in a dry run: graphs, numbers for names, neutral names, memory formats, compiled steps."""

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun

STEP = 2 * 2 * 256 * 256 * 32
HEAD = """
import copy, torch
from torch import nn
net = nn.Linear(256, 256).to(0)
opt = torch.optim.SGD(net.parameters(), lr=0.1)
x = torch.randn(32, 256, device=0)
def step():
    opt.zero_grad(set_to_none=False)
    loss = net(x).square().mean()
    loss.backward()
    opt.step()
"""


def _run(runner: DryRunner, text: str) -> DryRun:
    program = DryProgram(files={"job.py": (HEAD + text).encode()}, entrypoint="job.py", content_hash="1")
    run = runner.run_program(program)
    assert run.completeness == Completeness.WHOLE, run.reason
    return run


def _products(run: DryRun) -> float:
    return sum(op.count * op.flops for op in run.operations if op.kind == "gemm")


def test_a_graph_does_its_work_at_every_replay_and_none_while_it_is_captured(runner: DryRunner) -> None:
    text = """
s = torch.cuda.Stream()
s.wait_stream(torch.cuda.current_stream())
with torch.cuda.stream(s):
    for _ in range(3):
        step()
torch.cuda.current_stream().wait_stream(s)
g = torch.cuda.CUDAGraph()
with torch.cuda.graph(g, pool=torch.cuda.graph_pool_handle()):
    step()
for _ in range(1000):
    x.copy_(torch.randn(32, 256))
    g.replay()
torch.cuda.synchronize()
"""
    run = _run(runner, text)
    assert run.steps == 1003
    assert _products(run) == 1003 * STEP


@pytest.mark.parametrize(
    "text",
    [
        "net = torch.cuda.make_graphed_callables(net, (x,))",
        "net = torch.compile(net, mode='reduce-overhead')",
        "net = net.to(torch.device(0))",
        "net = net.to(torch.accelerator.current_accelerator()); assert torch.accelerator.device_count() == 1",
        "net = copy.deepcopy(net); opt = torch.optim.SGD(net.parameters(), lr=0.1)",
        "assert copy.deepcopy([torch.tensor(3), torch.tensor(0.5)])[0].item() == 3",
        "assert isinstance(x.device, torch.device) and torch.device(1).index == 1",
        "e = torch.cuda.Event(enable_timing=True); e.record(); torch.accelerator.synchronize()",
    ],
)
def test_a_loop_is_what_it_was(runner: DryRunner, text: str) -> None:
    run = _run(runner, f"{text}\nfor _ in range(50):\n    step()\n")
    assert run.steps == 50
    assert _products(run) == 50 * STEP


def test_the_memory_format_is_recorded(runner: DryRunner) -> None:
    text = """
conv = nn.Conv2d(3, 8, 3).to(0)
images = torch.randn(2, 3, 16, 16, device=0)
conv(images)
conv.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
"""
    run = _run(runner, text)
    assert [op.layout for op in run.operations if op.kind == "convolution"] == ["", "channels_last"]

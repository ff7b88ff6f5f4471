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
        "net = net.to(f'{torch.accelerator.current_accelerator()}:0')",
        "net = copy.deepcopy(net); opt = torch.optim.SGD(net.parameters(), lr=0.1)",
        "assert copy.deepcopy([torch.tensor(3), torch.tensor(0.5)])[0].item() == 3",
        "assert isinstance(x.device, torch.device) and torch.device(1).index == 1",
        "assert x.is_cuda and net.weight.is_cuda and (x * 2).is_cuda",
        "assert not x.cpu().is_cuda",
        "assert not (x.is_meta or x.cpu().is_meta or (x * 2).is_meta)",
        "with torch.device('cuda'): assert not torch.arange(4).float().is_meta",
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


def test_a_memory_format_goes_through_a_network_and_back(runner: DryRunner) -> None:
    text = """
layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 1), nn.ConvTranspose2d(8, 8, 2)]
images, net = torch.randn(2, 3, 8, 8, device=0), nn.Sequential(*layers).to(0)
net.to(memory_format=torch.channels_last)(images).square().sum().backward()
"""
    layouts = {op.op: op.layout for op in _run(runner, text).operations if op.kind in ("convolution", "normalisation")}
    assert layouts == dict.fromkeys(
        ("aten.convolution", "aten.convolution_backward", "aten.native_batch_norm", "aten.native_batch_norm_backward"),
        "channels_last",
    )


def test_dropout_is_one_kernel_there_and_one_back(runner: DryRunner) -> None:
    text = """
layers = nn.Sequential(nn.Dropout(0.1), nn.Dropout(0.5, inplace=True), nn.Dropout(0.0)).to(0)
layers(x.requires_grad_() * 1).sum().backward()
layers.eval()(x)
"""
    calls = {op.op: op.count for op in _run(runner, text).operations if "dropout" in op.op or "bernoulli" in op.op}
    assert calls["aten.native_dropout"] == calls["aten.native_dropout_backward"] == 1

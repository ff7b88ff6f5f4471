"""What a program holds at its worst moment, against sums by hand."""

import pytest

from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.program.source import Source

MIB = 2**20
TRAINING = """
import torch
model = torch.nn.Linear(4096, 4096, bias=False).cuda()
optimizer = torch.optim.{optimizer}
for _ in range(20):
    optimizer.zero_grad()
    model(torch.randn(8, 4096, device="cuda")).sum().backward()
    optimizer.step()
"""


def footprint(runner: DryRunner, text: str):
    run = runner.run(Source(name="job.py", text=text, content_hash="h"))
    assert run.completeness == "whole", run.reason
    return run.footprint


@pytest.mark.parametrize(
    ("optimizer", "states"),
    [
        ("SGD(model.parameters(), lr=1)", 0),
        ("SGD(model.parameters(), lr=1, momentum=0.9)", 1),
        ("AdamW(model.parameters())", 2),
    ],
)
def test_parameters_gradients_and_states_are_told_apart(runner, optimizer, states):
    found = footprint(runner, TRAINING.format(optimizer=optimizer))
    assert found.parameters == found.gradients == 64 * MIB  # 4096 x 4096 x 4 bytes
    assert states * 64 * MIB <= found.optimizer <= (states + 2) * 64 * MIB + MIB  # and what a step makes on its way
    assert found.held >= found.parameters + found.gradients + found.optimizer


def test_without_a_backward_pass_there_is_nothing_but_parameters_and_activations(runner):
    text = (
        "import torch\nm = torch.nn.Linear(4096, 4096, bias=False).cuda()\nx = torch.ones(4096, 4096, device='cuda')\n"
    )
    found = footprint(runner, text + "with torch.no_grad():\n    m(x)\n")
    assert (found.parameters, found.activations) == (64 * MIB, 128 * MIB)
    assert (found.gradients, found.optimizer, found.workspace, found.held) == (0, 0, 0, 192 * MIB)


@pytest.mark.parametrize(("groups", "workspace"), [(1, 2 * 64 * MIB + 9 * 64**2 * 2), (64, 0)])
def test_a_convolution_in_channels_first_is_laid_out_anew_and_a_depthwise_one_is_not(runner, groups, workspace):
    text = (
        "import torch\n"
        f"c = torch.nn.Conv2d(64, 64, 3, padding=1, groups={groups}, bias=False).cuda().half()\n"
        "x = torch.ones(8, 64, 256, 256, device='cuda', dtype=torch.half)\n"  # 64 MiB, as its result
        "with torch.no_grad():\n    c(x)\n"
    )
    found = footprint(runner, text)
    assert found.workspace == workspace
    assert found.held_with_workspace - found.held == pytest.approx(workspace, abs=2 * MIB)


def test_a_recurrent_layer_keeps_its_gates_for_the_backward_pass_alone(runner):
    text = (
        "import torch\n"
        "layer = torch.nn.LSTM(256, 256).cuda()\n"
        "x = torch.ones(512, 128, 256, device='cuda')\n"  # 64 MiB, as its result
        "{how}\n"
    )
    kept = footprint(runner, text.format(how="y, _ = layer(x)\ny.sum().backward()"))
    free = footprint(runner, text.format(how="with torch.no_grad():\n    y, _ = layer(x)"))
    assert kept.activations - free.activations >= 6 * 64 * MIB  # four gates and two states of each position
    assert free.held < 140 * MIB


@pytest.mark.parametrize(("dtype", "held"), [("float16", 64 + 128), ("bfloat16", 64 + 128 + 128)])
def test_softmax_reads_float16_under_autocast_and_a_copy_of_bfloat16(runner, dtype, held):
    text = (
        "import torch\n"
        f"x = torch.ones(4096, 8192, device='cuda', dtype=torch.{dtype})\n"  # 64 MiB, and 128 in float32
        f"with torch.no_grad(), torch.autocast('cuda', dtype=torch.{dtype}):\n    y = torch.softmax(x, -1)\n"
    )
    assert footprint(runner, text).held == held * MIB

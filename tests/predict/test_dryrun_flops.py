"""FLOPs of convolutions in a dry run against a count by hand: output positions times weights of their group."""

import pytest

from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.program.source import Source

PROGRAM = """
import torch
layer = torch.nn.{layer}.cuda()
x = torch.randn({shape}).cuda().requires_grad_({inputs})
for p in layer.parameters():
    p.requires_grad_({weights})
layer(x).sum().backward()
"""
LAYERS = {
    # two FLOPs * samples * positions (of the output; of the input where transposed) * weights that each meets
    "Conv2d(32, 32, 3, padding=1, groups=32)": ("4, 32, 14, 14", 2 * 4 * (14 * 14) * (32 * 1 * 9)),
    "Conv2d(32, 64, 3, stride=2, groups=8)": ("4, 32, 15, 15", 2 * 4 * (7 * 7) * (64 * 4 * 9)),
    "Conv2d(16, 8, 3)": ("4, 16, 10, 10", 2 * 4 * (8 * 8) * (8 * 16 * 9)),
    "Conv1d(24, 24, 5, padding=2, groups=24)": ("4, 24, 50", 2 * 4 * 50 * (24 * 1 * 5)),
    "Conv1d(24, 12, 5, groups=4)": ("4, 24, 50", 2 * 4 * 46 * (12 * 6 * 5)),
    "ConvTranspose2d(32, 16, 4, stride=2, groups=4)": ("4, 32, 7, 7", 2 * 4 * (7 * 7) * (32 * 4 * 16)),
    "ConvTranspose2d(32, 32, 2, stride=2, groups=32)": ("4, 32, 7, 7", 2 * 4 * (7 * 7) * (32 * 1 * 4)),
}


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("inputs", [True, False])
@pytest.mark.parametrize("weights", [True, False])
def test_a_convolution_and_both_its_gradients_cost_its_own_group_alone(
    layer: str, inputs: bool, weights: bool, runner: DryRunner
) -> None:
    if not (inputs or weights):
        pytest.skip("nothing is learnt, so there is no backward pass")
    shape, product = LAYERS[layer]
    text = PROGRAM.format(layer=layer, shape=shape, inputs=inputs, weights=weights)
    run = runner.run(Source(name="job.py", text=text, content_hash="1"))
    flops = {op.op: op.count * op.flops for op in run.operations if "convolution" in op.op}
    assert flops == {"aten.convolution": product, "aten.convolution_backward": (inputs + weights) * product}

import torch
from torch import nn


class Model(nn.Module):
    """What runs depends on numbers that a dry run does not have."""

    def __init__(self):
        super().__init__()
        self.net = nn.Linear(64, 64)

    def forward(self, x):
        scale = x.abs().max().item()
        x = x / max(scale, 1e-6)
        while x.norm() > 1.0:
            x = self.net(x) * 0.5
        kept = x[x.sum(1) > 0]
        return self.net(kept[torch.nonzero(kept[:, 0]).squeeze(1)])


def get_inputs():
    return [torch.randn(128, 64)]


def get_init_inputs():
    return []

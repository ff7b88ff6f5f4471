import torch
from torch import nn


class Model(nn.Module):
    """Learned latents attend to a long input, then to themselves."""

    def __init__(self):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(1, 64, 256))
        self.cross = nn.MultiheadAttention(256, 1, kdim=32, vdim=32, batch_first=True)
        self.attend = nn.MultiheadAttention(256, 8, batch_first=True)
        self.norms = nn.ModuleList(nn.LayerNorm(256) for _ in range(3))
        self.mlp = nn.Sequential(nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 256))

    def forward(self, x):
        z = self.latents.expand(x.size(0), -1, -1)
        for _ in range(2):
            z = z + self.cross(self.norms[0](z), x, x, need_weights=False)[0]
            y = self.norms[1](z)
            z = z + self.attend(y, y, y)[0]
            z = z + self.mlp(self.norms[2](z))
        return z.mean(1)


def get_inputs():
    return [torch.randn(2, 4096, 32)]


def get_init_inputs():
    return []

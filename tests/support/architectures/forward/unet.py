import torch
import torch.nn.functional as F
from torch import nn


class Double(nn.Module):
    def __init__(self, inner, outer):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(inner, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.Softmax(dim=-1),
            nn.Conv2d(outer, outer, 3, padding=1), nn.BatchNorm2d(outer), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x):
        return self.net(x)


class Model(nn.Module):
    def __init__(self, width=16):
        super().__init__()
        sides = [width * 2**i for i in range(4)]
        self.down = nn.ModuleList(Double(a, b) for a, b in zip([3, *sides[:-1]], sides, strict=True))
        self.mid = Double(sides[-1], 2 * sides[-1])
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * s, s, 2, 2) for s in reversed(sides))
        self.join = nn.ModuleList(Double(2 * s, s) for s in reversed(sides))
        self.out = nn.Conv2d(width, 2, 1)

    def forward(self, x):
        kept = []
        for down in self.down:
            x = down(x)
            kept.append(x)
            x = F.max_pool2d(x, 2)
        x = self.mid(x)
        for up, join in zip(self.up, self.join, strict=True):
            x = join(torch.cat([up(x), kept.pop()], dim=1))
        return self.out(x)


def get_inputs():
    return [torch.randn(4, 3, 128, 256)]


def get_init_inputs():
    return []

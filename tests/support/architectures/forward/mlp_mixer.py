import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, tokens, width):
        super().__init__()
        self.a, self.b = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(tokens, 256), nn.GELU(), nn.Linear(256, tokens))
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.mix(self.a(x).transpose(1, 2)).transpose(1, 2)
        return x + self.feed(self.b(x))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 256, 16, 16)
        self.blocks = nn.Sequential(*[Block(196, 256) for _ in range(4)])

    def forward(self, x):
        return self.blocks(self.patch(x).flatten(2).mT).mean(1)


def get_inputs():
    return [torch.randn(8, 3, 224, 224)]


def get_init_inputs():
    return []

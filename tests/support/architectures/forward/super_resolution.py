import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, scale=4):
        super().__init__()
        self.net = nn.Sequential(
            nn.ReflectionPad2d(2), nn.Conv2d(1, 64, 5), nn.Tanh(), nn.Conv2d(64, 32, 3, padding=1), nn.Tanh(),
            nn.Conv2d(32, scale**2, 3, padding=1), nn.PixelShuffle(scale), nn.Sigmoid(),
        )  # fmt: skip

    def forward(self, x):
        return self.net(x)


def get_inputs():
    return [torch.rand(8, 1, 128, 128)]


def get_init_inputs():
    return []

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, noise=100, width=64):
        super().__init__()
        layers, inner = [], noise
        for outer, stride, padding in ((8 * width, 1, 0), (4 * width, 2, 1), (2 * width, 2, 1), (width, 2, 1)):
            layers += [
                nn.ConvTranspose2d(inner, outer, 4, stride, padding, bias=False),
                nn.BatchNorm2d(outer),
                nn.ReLU(),
            ]
            inner = outer
        self.net = nn.Sequential(*layers, nn.ConvTranspose2d(inner, 3, 4, 2, 1, bias=False), nn.Tanh())

    def forward(self, z):
        return self.net(z[..., None, None])


def get_inputs():
    return [torch.randn(32, 100)]


def get_init_inputs():
    return []

import torch
from torch import nn


def unit(inner, outer, **kwargs):
    return nn.Sequential(nn.Conv2d(inner, outer, bias=False, **kwargs), nn.BatchNorm2d(outer), nn.ReLU(inplace=True))


class Inception(nn.Module):
    def __init__(self, inner, a, b1, b, c1, c, d):
        super().__init__()
        self.a = unit(inner, a, kernel_size=1)
        self.b = nn.Sequential(unit(inner, b1, kernel_size=1), unit(b1, b, kernel_size=3, padding=1))
        self.c = nn.Sequential(unit(inner, c1, kernel_size=1), unit(c1, c, kernel_size=5, padding=2))
        self.d = nn.Sequential(nn.MaxPool2d(3, 1, 1, ceil_mode=True), unit(inner, d, kernel_size=1))

    def forward(self, x):
        return torch.cat([self.a(x), self.b(x), self.c(x), self.d(x)], 1)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(unit(3, 64, kernel_size=7, stride=2, padding=3), nn.MaxPool2d(3, 2, ceil_mode=True))
        self.reduce = nn.Sequential(unit(64, 192, kernel_size=(1, 3), padding=(0, 1)), nn.LocalResponseNorm(5))
        self.one, self.two = Inception(192, 64, 96, 128, 16, 32, 32), Inception(256, 128, 128, 192, 32, 96, 64)
        self.head = nn.Linear(480, 1000)

    def forward(self, x):
        return self.head(self.two(self.one(self.reduce(self.stem(x)))).mean([2, 3]))


def get_inputs():
    return [torch.randn(8, 3, 224, 224)]


def get_init_inputs():
    return []

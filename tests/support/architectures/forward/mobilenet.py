import torch
from torch import nn


class Residual(nn.Module):
    def __init__(self, inner, outer, stride, expand):
        super().__init__()
        wide = inner * expand
        self.same = stride == 1 and inner == outer
        self.net = nn.Sequential(
            nn.Conv2d(inner, wide, 1, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(inplace=True),
            nn.Conv2d(wide, wide, 3, stride, 1, groups=wide, bias=False),
            nn.BatchNorm2d(wide),
            nn.ReLU6(inplace=True),
            nn.Conv2d(wide, outer, 1, bias=False),
            nn.BatchNorm2d(outer),
        )

    def forward(self, x):
        return x + self.net(x) if self.same else self.net(x)


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        layers, inner = [nn.Conv2d(3, 32, 3, 2, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU6(True)], 32
        for expand, outer, count, stride in ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1)):
            for i in range(count):
                layers.append(Residual(inner, outer, stride if i == 0 else 1, expand))
                inner = outer
        self.net = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inner, 1000))

    def forward(self, x):
        return self.net(x)


def get_inputs():
    return [torch.randn(8, 3, 224, 224)]


def get_init_inputs():
    return []

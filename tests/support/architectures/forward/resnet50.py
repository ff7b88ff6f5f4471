import torch
import torch.nn.functional as F
from torch import nn


class Bottleneck(nn.Module):
    def __init__(self, inner, width, stride=1, groups=1):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inner, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 4 * width, 1, bias=False),
            nn.BatchNorm2d(4 * width),
        )
        self.skip = None
        if stride != 1 or inner != 4 * width:
            self.skip = nn.Sequential(nn.Conv2d(inner, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))

    def forward(self, x):
        identity = x if self.skip is None else self.skip(x)
        return F.relu(self.body(x) + identity)


class Model(nn.Module):
    def __init__(self, blocks=(3, 4, 6, 3)):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True))
        layers, inner = [], 64
        for i, count in enumerate(blocks):
            for j in range(count):
                layers.append(Bottleneck(inner, 64 * 2**i, 2 if i and not j else 1))
                inner = 4 * 64 * 2**i
        self.layers, self.head = nn.Sequential(*layers), nn.Linear(inner, 1000)

    def forward(self, x):
        x = self.layers(F.max_pool2d(self.stem(x), 3, 2, 1))
        return self.head(torch.flatten(F.adaptive_avg_pool2d(x, (1, 1)), 1))


def get_inputs():
    return [torch.randn(4, 3, 224, 224)]


def get_init_inputs():
    return []

import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, inner, outer, stride):
        super().__init__()
        self.a = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.b = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.na, self.nb, self.relu = nn.BatchNorm2d(outer), nn.BatchNorm2d(outer), nn.ReLU(inplace=True)
        self.skip = nn.Identity()
        if stride != 1 or inner != outer:
            self.skip = nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x):
        return self.relu(self.nb(self.b(self.relu(self.na(self.a(x))))) + self.skip(x))


class Model(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(True))
        layers, inner = [nn.MaxPool2d(3, 2, 1)], 64
        for outer, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
            layers += [Block(inner, outer, stride), Block(outer, outer, 1)]
            inner = outer
        self.body = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, classes))

    def forward(self, x):
        return self.body(self.stem(x))


def get_inputs():
    return [torch.randn(2, 3, 224, 224)]


def get_init_inputs():
    return []

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        layers = [nn.Conv2d(3, 256, 7, 4, 3)]
        for _ in range(4):
            layers += [
                nn.Conv2d(256, 128, 1, bias=False),
                nn.BatchNorm2d(128),
                nn.ReLU(True),
                nn.Conv2d(128, 128, 3, padding=1, groups=32, bias=False),
                nn.BatchNorm2d(128),
                nn.ReLU(True),
                nn.Conv2d(128, 256, 1, bias=False),
            ]
        self.net = nn.Sequential(*layers)
        self.to(memory_format=torch.channels_last)
        self.half()

    def forward(self, x):
        return self.net(x.contiguous(memory_format=torch.channels_last))


def get_inputs():
    return [torch.randn(16, 3, 224, 224).half()]


def get_init_inputs():
    return []

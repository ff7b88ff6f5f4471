import torch
import torch.nn.functional as F
from torch import nn


class MBConv(nn.Module):
    def __init__(self, inner, outer, kernel, stride, expand=6, drop=0.2):
        super().__init__()
        wide = inner * expand
        self.drop, self.same = drop, stride == 1 and inner == outer
        self.widen = nn.Sequential(nn.Conv2d(inner, wide, 1, bias=False), nn.BatchNorm2d(wide), nn.SiLU(True))
        self.depth = nn.Conv2d(wide, wide, kernel, stride, kernel // 2, groups=wide, bias=False)
        self.norm = nn.BatchNorm2d(wide)
        self.squeeze = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(wide, inner // 4, 1),
            nn.SiLU(),
            nn.Conv2d(inner // 4, wide, 1),
            nn.Sigmoid(),
        )
        self.project = nn.Sequential(nn.Conv2d(wide, outer, 1, bias=False), nn.BatchNorm2d(outer))

    def forward(self, x):
        y = F.silu(self.norm(self.depth(self.widen(x))))
        y = self.project(y * self.squeeze(y))
        if self.same and self.training:
            keep = torch.rand(len(x), 1, 1, 1, device=x.device) > self.drop
            return x + y.div(1 - self.drop) * keep
        return y + x if self.same else y


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        self.net = nn.Sequential(MBConv(32, 24, 3, 2), MBConv(24, 24, 3, 1), MBConv(24, 40, 5, 2), MBConv(40, 80, 3, 2))
        self.head = nn.Linear(80, 1000)

    def forward(self, x):
        return self.head(self.net(self.stem(x)).mean((2, 3)))


def get_inputs():
    return [torch.randn(8, 3, 240, 240)]


def get_init_inputs():
    return []

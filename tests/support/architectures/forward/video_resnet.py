import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv3d(3, 32, (3, 7, 7), (1, 2, 2), (1, 3, 3), bias=False)
        self.space, self.time = nn.Conv3d(32, 64, (1, 3, 3), 1, (0, 1, 1)), nn.Conv3d(64, 64, (3, 1, 1), 1, (1, 0, 0))
        self.norm, self.pool = nn.BatchNorm3d(64), nn.AvgPool3d(2)
        self.head = nn.Linear(64, 400)

    def forward(self, x):
        x = self.pool(F.relu(self.norm(self.time(F.relu(self.space(self.stem(x)))))))
        return self.head(F.adaptive_avg_pool3d(x, 1).flatten(1))


def get_inputs():
    return [torch.randn(2, 3, 16, 112, 112)]


def get_init_inputs():
    return []

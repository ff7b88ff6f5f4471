import math

import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    """Soft assignment to clusters with ghosts, residuals summed by cluster, normalised twice."""

    def __init__(self, clusters=32, width=256, ghosts=8):
        super().__init__()
        self.clusters, self.width = clusters, width
        self.assign = nn.Parameter(torch.randn(width, clusters + ghosts) / math.sqrt(width))
        self.centres = nn.Parameter(torch.randn(1, width, clusters) / math.sqrt(width))
        self.norm = nn.BatchNorm1d(clusters + ghosts)

    def forward(self, x):
        T = x.size(1)
        weights = F.softmax(self.norm(torch.matmul(x.view(-1, self.width), self.assign)), dim=1)
        weights = weights[:, : self.clusters].view(-1, T, self.clusters)
        total = torch.sum(weights, dim=1, keepdim=True) * self.centres
        v = torch.matmul(weights.transpose(1, 2), x).transpose(1, 2) - total
        return F.normalize(F.normalize(v).reshape(-1, self.clusters * self.width))


def get_inputs():
    return [torch.randn(512, 100, 256)]


def get_init_inputs():
    return []

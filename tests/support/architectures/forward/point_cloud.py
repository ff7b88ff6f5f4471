import torch
from torch import nn


class Model(nn.Module):
    """Edge convolutions over the nearest neighbours in space."""

    def __init__(self):
        super().__init__()
        self.a = nn.Sequential(nn.Conv2d(6, 64, 1), nn.BatchNorm2d(64), nn.LeakyReLU(0.2))
        self.b = nn.Sequential(nn.Conv1d(64, 512, 1), nn.BatchNorm1d(512), nn.ReLU())
        self.head = nn.Linear(512, 40)

    def forward(self, x, k=20):
        near = torch.cdist(x, x).topk(k, dim=-1, largest=False).indices
        B, N, C = x.shape
        neighbours = torch.gather(x.unsqueeze(1).expand(B, N, N, C), 2, near.unsqueeze(-1).expand(-1, -1, -1, C))
        edges = torch.cat([neighbours - x.unsqueeze(2), x.unsqueeze(2).expand(-1, -1, k, -1)], -1)
        y = self.a(edges.permute(0, 3, 1, 2)).max(-1).values
        return self.head(self.b(y).max(-1)[0])


def get_inputs():
    return [torch.randn(8, 1024, 3)]


def get_init_inputs():
    return []

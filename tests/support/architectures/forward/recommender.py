import torch
from torch import nn


class Model(nn.Module):
    """Bags of sparse features, their products by pairs, and two perceptrons."""

    def __init__(self, tables=8, rows=100000, width=64):
        super().__init__()
        self.tables = nn.ModuleList(nn.EmbeddingBag(rows, width, mode="sum") for _ in range(tables))
        self.bottom = nn.Sequential(nn.Linear(13, 256), nn.ReLU(), nn.Linear(256, width))
        self.top = nn.Sequential(nn.Linear(width + (tables + 1) * tables // 2, 256), nn.ReLU(), nn.Linear(256, 1))
        self.register_buffer("pairs", torch.tril_indices(tables + 1, tables + 1, -1))

    def forward(self, dense, indices, offsets):
        x = self.bottom(dense)
        bags = [table(i, o) for table, i, o in zip(self.tables, indices, offsets, strict=True)]
        z = torch.stack([x, *bags], 1)
        products = torch.bmm(z, z.transpose(1, 2))[:, self.pairs[0], self.pairs[1]]
        return torch.sigmoid(self.top(torch.cat([x, products], 1)))


def get_inputs():
    return [torch.randn(512, 13), torch.randint(0, 100000, (8, 5120)), torch.arange(0, 5120, 10).repeat(8, 1)]


def get_init_inputs():
    return []

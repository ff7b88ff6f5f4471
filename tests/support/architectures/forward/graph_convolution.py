import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    """Messages along edges, summed at their ends; attention over the edges of a node."""

    def __init__(self, nodes=2000, width=64):
        super().__init__()
        self.a, self.b, self.score = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(2 * width, 1)

    def forward(self, x, edges):
        source, target = edges
        degree = torch.zeros(x.size(0), device=x.device).scatter_add_(0, target, torch.ones_like(target, dtype=x.dtype))
        norm = degree.clamp(min=1).rsqrt()
        messages = self.a(x)[source] * (norm[source] * norm[target])[:, None]
        x = F.relu(torch.zeros_like(x).index_add_(0, target, messages))
        y = self.b(x)
        score = F.leaky_relu(self.score(torch.cat([y[source], y[target]], 1)).squeeze(1), 0.2).exp()
        total = torch.zeros(x.size(0), device=x.device).index_add_(0, target, score)
        return torch.zeros_like(y).index_add_(0, target, y[source] * (score / (total[target] + 1e-9))[:, None])


def get_inputs():
    return [torch.randn(2000, 64), torch.randint(0, 2000, (2, 20000))]


def get_init_inputs():
    return []

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.LSTMCell(64, 128), nn.LSTMCell(128, 128)
        self.head = nn.Linear(128, 64)

    def forward(self, x):
        h1 = c1 = h2 = c2 = torch.zeros(x.size(0), 128, device=x.device)
        out = []
        for step in x.unbind(1):
            h1, c1 = self.first(step, (h1, c1))
            h2, c2 = self.second(h1, (h2, c2))
            out.append(self.head(h2))
        return torch.stack(out, 1)


def get_inputs():
    return [torch.randn(16, 512, 64)]


def get_init_inputs():
    return []

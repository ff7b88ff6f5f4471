import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, channels=8, hidden=16):
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Conv2d(channels + hidden, 4 * hidden, 3, padding=1)

    def forward(self, x):
        h = c = x.new_zeros(x.size(0), self.hidden, *x.shape[-2:])
        for t in range(x.size(1)):
            i, f, o, g = self.gates(torch.cat([x[:, t], h], 1)).chunk(4, 1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return h


def get_inputs():
    return [torch.randn(4, 12, 8, 64, 64)]


def get_init_inputs():
    return []

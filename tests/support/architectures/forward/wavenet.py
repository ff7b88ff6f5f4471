import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    def __init__(self, width=64, depth=8):
        super().__init__()
        self.start = nn.Conv1d(1, width, 1)
        self.dilated = nn.ModuleList(nn.Conv1d(width, 2 * width, 2, dilation=2**i) for i in range(depth))
        self.skip = nn.ModuleList(
            nn.utils.parametrizations.weight_norm(nn.Conv1d(width, width, 1)) for _ in range(depth)
        )
        self.out = nn.Conv1d(width, 256, 1)

    def forward(self, x):
        x, total = self.start(x), 0
        for conv, skip in zip(self.dilated, self.skip, strict=True):
            a, b = conv(F.pad(x, (conv.dilation[0], 0))).chunk(2, 1)
            y = skip(torch.tanh(a) * torch.sigmoid(b))
            total = total + y
            x = x + y
        return self.out(F.relu(total))


def get_inputs():
    return [torch.randn(4, 1, 16000)]


def get_init_inputs():
    return []

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self, width=128, hidden=256, layers=3):
        super().__init__()
        self.rnn = nn.GRU(width, hidden, layers, bidirectional=True)

    def forward(self, x, h0):
        output, hn = self.rnn(x, h0)
        return output, hn


def get_inputs():
    return [torch.randn(300, 10, 128), torch.randn(6, 10, 256)]


def get_init_inputs():
    return []

import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(64, 96, 2, batch_first=True)
        self.head = nn.Linear(96, 2)

    def forward(self, x, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        output, (h, _) = self.rnn(packed)
        padded, _ = nn.utils.rnn.pad_packed_sequence(output, batch_first=True)
        return self.head(h[-1]), padded


def get_inputs():
    return [torch.randn(4, 100, 64), torch.tensor([100, 80, 60, 20])]


def get_init_inputs():
    return []

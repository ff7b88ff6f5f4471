import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10000, 128)
        self.rnn = nn.LSTM(128, 256, 2, batch_first=True, bidirectional=True, dropout=0.2)
        self.head = nn.Linear(512, 5)

    def forward(self, tokens):
        y, (h, _) = self.rnn(self.embed(tokens))
        return self.head(torch.cat([h[-2], h[-1]], 1)), y


def get_inputs():
    return [torch.randint(0, 10000, (32, 200))]


def get_init_inputs():
    return []

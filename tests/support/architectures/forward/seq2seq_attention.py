import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    """A translation network: encoder, additive attention, and a decoder that is stepped in Python."""

    def __init__(self, words=8000, width=256):
        super().__init__()
        self.words = words
        self.embed_in, self.embed_out = nn.Embedding(words, width), nn.Embedding(words, width)
        self.encoder = nn.GRU(width, width, batch_first=True)
        self.cell = nn.GRUCell(2 * width, width)
        self.query, self.key, self.score = nn.Linear(width, width), nn.Linear(width, width), nn.Linear(width, 1)
        self.head = nn.Linear(width, words)

    def forward(self, source, target):
        memory, h = self.encoder(self.embed_in(source))
        h, keys, outputs = h[0], self.key(memory), []
        for t in range(target.shape[1]):
            weights = F.softmax(self.score(torch.tanh(keys + self.query(h).unsqueeze(1))), dim=1)
            context = (weights * memory).sum(1)
            h = self.cell(torch.cat([self.embed_out(target[:, t]), context], -1), h)
            outputs.append(self.head(h))
        return torch.stack(outputs, 1)


def get_inputs():
    return [torch.randint(0, 8000, (16, 40)), torch.randint(0, 8000, (16, 50))]


def get_init_inputs():
    return []

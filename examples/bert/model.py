"""A small BERT: a transformer encoder that guesses hidden words."""

import torch
from torch import Tensor, nn


class Bert(nn.Module):
    """Token ids of (batch, length) to scores of (batch, length, words)."""

    def __init__(self, *, words: int, length: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.places = nn.Parameter(torch.zeros(length, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, dim_feedforward=4 * width, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, words)

    def forward(self, tokens: Tensor) -> Tensor:
        """Scores of each word at each place."""
        return self.head(self.norm(self.encoder(self.words(tokens) + self.places)))

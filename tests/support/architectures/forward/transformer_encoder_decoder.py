import torch
from torch import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Transformer(256, 8, 2, 2, 1024, batch_first=True)

    def forward(self, source, target):
        mask = nn.Transformer.generate_square_subsequent_mask(target.size(1), device=target.device)
        return self.net(source, target, tgt_mask=mask, tgt_is_causal=True)


def get_inputs():
    return [torch.randn(4, 100, 256), torch.randn(4, 80, 256)]


def get_init_inputs():
    return []

import torch
from torch import nn


@torch.jit.script
def gated(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x * torch.sigmoid(y)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(256, 512) for _ in range(4)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for layer in self.layers:
            a, b = layer(x).chunk(2, -1)
            x = gated(a, b)
        return x


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = torch.jit.script(Net())
        self.traced = torch.jit.trace(nn.Linear(256, 10), torch.randn(2, 256))

    def forward(self, x):
        return self.traced(self.net(x))


def get_inputs():
    return [torch.randn(64, 256)]


def get_init_inputs():
    return []

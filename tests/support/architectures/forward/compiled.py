import torch
from torch import nn


@torch.compile(mode="max-autotune", fullgraph=True)
def activation(x):
    return 0.5 * x * (1 + torch.tanh(0.7978845608 * (x + 0.044715 * x**3)))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.compile(nn.Linear(512, 2048))
        self.b = nn.Linear(2048, 512)
        self.b.compile()

    @torch._dynamo.disable
    def host(self, x):
        return x.mean(0, keepdim=True)

    def forward(self, x):
        torch._dynamo.graph_break()
        return self.b(activation(self.a(x))) + self.host(x)


def get_inputs():
    return [torch.randn(256, 512)]


def get_init_inputs():
    return []

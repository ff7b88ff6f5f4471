import torch
import torch.nn.functional as F
from torch import nn


def segments(x):
    T = x.size(-1)
    total = torch.cumsum(x, -1)
    mask = torch.tril(torch.ones(T, T, device=x.device, dtype=torch.bool))
    return (total[..., :, None] - total[..., None, :]).masked_fill(~mask, -torch.inf)


class Model(nn.Module):
    """A state space with scalar decay, as products of chunks."""

    def __init__(self, heads=8, state=16, chunk=64):
        super().__init__()
        self.chunk = chunk
        self.a = nn.Parameter(torch.rand(4, 512, heads))
        self.b, self.c = (
            nn.Parameter(torch.randn(4, 512, heads, state)),
            nn.Parameter(torch.randn(4, 512, heads, state)),
        )

    def forward(self, x):
        x, a, b, c = (t.unflatten(1, (-1, self.chunk)) for t in (x, -self.a, self.b, self.c))
        a = a.permute(0, 3, 1, 2)
        sums = torch.cumsum(a, -1)
        inside = torch.einsum("bclhn,bcshn,bhcls,bcshp->bclhp", c, b, torch.exp(segments(a)), x)
        decay = torch.exp(sums[..., -1:] - sums)
        states = torch.einsum("bclhn,bhcl,bclhp->bchpn", b, decay, x)
        states = torch.cat([torch.zeros_like(states[:, :1]), states], 1)
        between = torch.exp(segments(F.pad(sums[..., -1], (1, 0))))
        states = torch.einsum("bhzc,bchpn->bzhpn", between, states)[:, :-1]
        across = torch.einsum("bclhn,bchpn,bhcl->bclhp", c, states, torch.exp(sums))
        return (inside + across).flatten(1, 2)


def get_inputs():
    return [torch.randn(4, 512, 8, 64)]


def get_init_inputs():
    return []

import torch
import torch.nn.functional as F
from torch import nn


class Model(nn.Module):
    """A selective state space, scanned in Python."""

    def __init__(self, width=64, state=16):
        super().__init__()
        inner = 2 * width
        self.enter, self.leave = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width, bias=False)
        self.conv = nn.Conv1d(inner, inner, 4, groups=inner, padding=3)
        self.select, self.step = nn.Linear(inner, 2 * state + 4, bias=False), nn.Linear(4, inner)
        self.log_a = nn.Parameter(torch.log(torch.arange(1, state + 1).float()).repeat(inner, 1))
        self.skip, self.state = nn.Parameter(torch.ones(inner)), state

    def forward(self, x):
        B, T, _ = x.shape
        x, gate = self.enter(x).chunk(2, dim=-1)
        x = F.silu(self.conv(x.transpose(1, 2))[..., :T].transpose(1, 2))
        step, b, c = self.select(x).split([4, self.state, self.state], -1)
        step = F.softplus(self.step(step))
        decay = torch.exp(step.unsqueeze(-1) * -torch.exp(self.log_a))
        drive = step.unsqueeze(-1) * b.unsqueeze(2) * x.unsqueeze(-1)
        h, outputs = torch.zeros(B, x.size(-1), self.state, device=x.device), []
        for t in range(T):
            h = decay[:, t] * h + drive[:, t]
            outputs.append(torch.einsum("bdn,bn->bd", h, c[:, t]))
        y = torch.stack(outputs, 1) + x * self.skip
        return self.leave(y * F.silu(gate))


def get_inputs():
    return [torch.randn(4, 512, 64)]


def get_init_inputs():
    return []

import torch
import torch.nn.functional as F
from torch import nn


class RMSNorm(nn.Module):
    def __init__(self, width, eps=1e-6):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        scaled = x.float() * torch.rsqrt(x.float().pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * scaled.type_as(x)


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat((-b, a), -1) * sin


class Block(nn.Module):
    def __init__(self, width, heads, groups):
        super().__init__()
        self.heads, self.groups, self.head = heads, groups, width // heads
        self.q, self.o = nn.Linear(width, width, bias=False), nn.Linear(width, width, bias=False)
        self.kv = nn.Linear(width, 2 * groups * self.head, bias=False)
        self.gate, self.up = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, 3 * width, bias=False)
        self.down = nn.Linear(3 * width, width, bias=False)
        self.a, self.b = RMSNorm(width), RMSNorm(width)

    def forward(self, x, cos, sin):
        B, T, _ = x.shape
        y = self.a(x)
        q = self.q(y).view(B, T, self.heads, self.head).transpose(1, 2)
        k, v = self.kv(y).view(B, T, 2, self.groups, self.head).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(rotate(q, cos, sin), rotate(k, cos, sin), v, is_causal=True, enable_gqa=True)
        x = x + self.o(y.transpose(1, 2).reshape(B, T, -1))
        y = self.b(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Model(nn.Module):
    def __init__(self, words=8000, width=256, depth=3, heads=8, groups=2):
        super().__init__()
        self.embed, self.head = nn.Embedding(words, width), nn.Linear(width, words, bias=False)
        self.blocks = nn.ModuleList(Block(width, heads, groups) for _ in range(depth))
        self.norm, self.side = RMSNorm(width), width // heads
        self.to(torch.bfloat16)

    def forward(self, tokens):
        x = self.embed(tokens)
        frequency = 10000 ** (-torch.arange(0, self.side, 2, device=x.device) / self.side)
        angle = torch.outer(torch.arange(tokens.size(1), device=x.device), frequency).repeat(1, 2)
        cos, sin = angle.cos().to(x.dtype), angle.sin().to(x.dtype)
        for block in self.blocks:
            x = block(x, cos, sin)
        return self.head(self.norm(x))


def get_inputs():
    return [torch.randint(0, 8000, (2, 512))]


def get_init_inputs():
    return []

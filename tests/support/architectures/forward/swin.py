import torch
from torch import nn


def windows(x, size):
    B, H, W, C = x.shape
    x = x.view(B, H // size, size, W // size, size, C)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, size * size, C)


def back(w, size, H, W):
    B = int(w.shape[0] / (H * W / size / size))
    return w.view(B, H // size, W // size, size, size, -1).permute(0, 1, 3, 2, 4, 5).contiguous().view(B, H, W, -1)


class Block(nn.Module):
    def __init__(self, width, heads, size, shift):
        super().__init__()
        self.heads, self.size, self.shift = heads, size, shift
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.a, self.b = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.table = nn.Parameter(torch.zeros((2 * size - 1) ** 2, heads))
        grid = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")).flatten(1)
        away = (grid[:, :, None] - grid[:, None, :]).permute(1, 2, 0) + size - 1
        self.register_buffer("index", away[..., 0] * (2 * size - 1) + away[..., 1])

    def forward(self, x):
        B, H, W, C = x.shape
        y = torch.roll(self.a(x), (-self.shift, -self.shift), (1, 2)) if self.shift else self.a(x)
        w = windows(y, self.size)
        q, k, v = self.qkv(w).reshape(len(w), -1, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)
        scores = q * (C // self.heads) ** -0.5 @ k.transpose(-2, -1)
        bias = self.table[self.index.view(-1)].view(self.size**2, self.size**2, -1).permute(2, 0, 1)
        y = ((scores + bias.unsqueeze(0)).softmax(-1) @ v).transpose(1, 2).reshape(w.shape)
        y = back(self.out(y), self.size, H, W)
        y = torch.roll(y, (self.shift, self.shift), (1, 2)) if self.shift else y
        x = x + y
        return x + self.mlp(self.b(x))


class Merge(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm, self.reduce = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x):
        parts = [x[:, i::2, j::2] for j in (0, 1) for i in (0, 1)]
        return self.reduce(self.norm(torch.cat(parts, -1)))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, 48, 4, 4)
        self.one = nn.Sequential(Block(48, 3, 7, 0), Block(48, 3, 7, 3), Merge(48))
        self.two = nn.Sequential(Block(96, 6, 7, 0), Block(96, 6, 7, 3), Merge(96))
        self.head = nn.Linear(192, 1000)

    def forward(self, x):
        return self.head(self.two(self.one(self.patch(x).permute(0, 2, 3, 1))).mean((1, 2)))


def get_inputs():
    return [torch.randn(4, 3, 224, 224)]


def get_init_inputs():
    return []

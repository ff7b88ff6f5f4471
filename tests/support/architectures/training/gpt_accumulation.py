import math
from contextlib import nullcontext
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint


@dataclass
class Config:
    words: int = 1000
    width: int = 128
    heads: int = 4
    depth: int = 2
    length: int = 64
    batch: int = 8
    accumulate: int = 4
    steps: int = 50


class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c, self.a, self.b = c, nn.LayerNorm(c.width), nn.LayerNorm(c.width)
        self.qkv, self.out = nn.Linear(c.width, 3 * c.width), nn.Linear(c.width, c.width)
        self.mlp = nn.Sequential(nn.Linear(c.width, 4 * c.width), nn.GELU(), nn.Linear(4 * c.width, c.width))

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = (t.view(B, T, self.c.heads, -1).transpose(1, 2) for t in self.qkv(self.a(x)).split(C, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(B, T, C))
        return x + self.mlp(self.b(x))


class GPT(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.token, self.place = nn.Embedding(c.words, c.width), nn.Embedding(c.length, c.width)
        self.blocks, self.norm = nn.ModuleList(Block(c) for _ in range(c.depth)), nn.LayerNorm(c.width)
        self.head = nn.Linear(c.width, c.words, bias=False)
        self.token.weight = self.head.weight
        self.apply(self.start)

    def start(self, module):
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=0.02)

    def forward(self, x, targets=None):
        x = self.token(x) + self.place(torch.arange(x.size(1), device=x.device))
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=False)
        logits = self.head(self.norm(x))
        return logits, None if targets is None else F.cross_entropy(logits.flatten(0, 1), targets.flatten())


c = Config()
device = "cuda" if torch.cuda.is_available() else "cpu"
data = torch.randint(0, c.words, (100_000,))
model = torch.compile(GPT(c).to(device))
decay = [p for p in model.parameters() if p.dim() >= 2]
rest = [p for p in model.parameters() if p.dim() < 2]
groups = [{"params": decay, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
optimizer = torch.optim.AdamW(groups, lr=3e-4, betas=(0.9, 0.95), fused=True)
context = torch.autocast(device_type=device, dtype=torch.bfloat16) if device == "cuda" else nullcontext()


def batch():
    starts = torch.randint(len(data) - c.length - 1, (c.batch,))
    x = torch.stack([data[i : i + c.length] for i in starts])
    y = torch.stack([data[i + 1 : i + 1 + c.length] for i in starts])
    return x.pin_memory().to(device, non_blocking=True), y.pin_memory().to(device, non_blocking=True)


@torch.no_grad()
def evaluate():
    model.eval()
    losses = torch.zeros(5)
    for k in range(5):
        losses[k] = model(*batch())[1].item()
    model.train()
    return losses.mean()


step, best = 0, 1e9
while True:
    rate = 3e-4 * min(1, (step + 1) / 10) if step < 10 else 3e-4 * 0.5 * (1 + math.cos(math.pi * step / c.steps))
    for group in optimizer.param_groups:
        group["lr"] = rate
    if step % 25 == 0:
        loss = evaluate()
        if loss < best:
            best = loss
            torch.save(model.state_dict(), "best.pt")
    for _ in range(c.accumulate):
        with context:
            _, loss = model(*batch())
        (loss / c.accumulate).backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    step += 1
    if step >= c.steps:
        break

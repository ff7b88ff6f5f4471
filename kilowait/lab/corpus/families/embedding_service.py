"""A text encoder that only infers: batches are embedded and matched against an index, no gradients."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn.functional as F\nfrom torch import nn"


def _cost(h: Hyperparameters) -> Cost:
    names = ("dim", "heads", "depth", "request_batch", "max_tokens", "mlp_ratio", "index_size")
    d, heads, depth, b, t, m, k = sizes(h, *names)
    n = b * t
    flops = 2 * n * depth * (4 + 2 * m) * d * d + 4 * depth * b * t * t * d + 2 * b * k * d
    return Cost(flops, depth * (n * d * (8 + 4 * m) + 6 * heads * b * t * t) + 2 * b * k, 30 * depth + 40)


_SIZING = Sizing(
    cost=_cost,
    scale=1.1,
    choices={
        "dim": (64, 96, 128, 192, 256, 384),
        "heads": (2, 4, 8),
        "depth": (2, 3, 4, 6, 8),
        "mlp_ratio": (2, 3, 4),
        "request_batch": (1, 4, 8, 16, 32),
        "max_tokens": (16, 32, 64, 128),
        "index_size": (1000, 5000, 20000),
        "top_k": (5, 10),
    },
    steps=(12, 70),
    growth=(("request_batch", 4, 512), ("dim", 2, 1024), ("max_tokens", 2, 256), ("depth", 2, 12)),
)


FAMILY = Family(
    name="embedding_service",
    summary="A text encoder that only infers: batches are embedded and matched against an index, no gradients.",
    imports="import math\n" + _IMPORTS,
    definitions='''\
class Attention(nn.Module):
    """Multi-head attention written out, with padding masked away."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def split(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x, padding):
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(padding[:, None, None, :], -1e9)
        mixed = scores.softmax(dim=-1) @ v
        return self.proj(mixed.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    def __init__(self, dim, heads, mlp_ratio):
        super().__init__()
        self.attention = Attention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.feed = nn.Sequential(nn.Linear(dim, mlp_ratio * dim), nn.ReLU(), nn.Linear(mlp_ratio * dim, dim))

    def forward(self, x, padding):
        x = self.norm1(x + self.attention(x, padding))
        return self.norm2(x + self.feed(x))


class SentenceEncoder(nn.Module):
    def __init__(self, words, dim, heads, depth, mlp_ratio):
        super().__init__()
        self.embed = nn.Embedding(words, dim)
        self.layers = nn.ModuleList([EncoderLayer(dim, heads, mlp_ratio) for _ in range(depth)])

    def forward(self, ids, padding):
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, padding)
        kept = (~padding).unsqueeze(-1).float()
        pooled = (x * kept).sum(dim=1) / kept.sum(dim=1)
        return F.normalize(pooled, dim=-1)
''',
    setup="""\
S.encoder = SentenceEncoder(8000, H.dim, H.heads, H.depth, H.mlp_ratio).to(device).eval()
S.index = F.normalize(torch.randn(H.index_size, H.dim, device=device), dim=-1)
S.served = 0
S.best = []
""",
    step="""\
with torch.no_grad():
    requests = torch.randint(0, 8000, (H.request_batch, H.max_tokens), device=device)
    lengths = torch.randint(4, H.max_tokens + 1, (H.request_batch, 1), device=device)
    padded = torch.arange(H.max_tokens, device=device)[None, :] >= lengths
    vectors = S.encoder(requests, padded)
    scores, nearest = (vectors @ S.index.t()).topk(H.top_k, dim=1)
    loss = 1.0 - scores.mean()
S.best.append(scores[:, 0].mean())
""",
    report="""\
similarity = torch.stack(S.best)
summary = similarity.mean().item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

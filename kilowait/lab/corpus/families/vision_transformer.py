"""A vision transformer classifies patches of an image; large matrix products."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    d, depth, b, r, p = sizes(h, "dim", "depth", "batch_size", "image", "patch")
    t = (r / p) ** 2 + 1
    params = depth * 12 * d * d + 3 * p * p * d
    return Cost(
        6 * b * t * params + 12 * depth * b * t * t * d,
        b * t * d * depth * 40 + depth * b * t * t * 8 + 14 * params,
        230 * depth + 120,
    )


_SIZING = Sizing(
    cost=_cost,
    scale=1.25,
    choices={
        "dim": (48, 64, 96, 128, 192),
        "depth": (2, 3, 4, 6),
        "heads": (2, 4),
        "batch_size": (4, 8, 16, 32),
        "image": (32, 48, 64),
        "patch": (4, 8),
        "lr": (1e-4, 3e-4, 1e-3),
        "weight_decay": (0.01, 0.05, 0.1),
    },
    steps=(8, 47),
    growth=(("batch_size", 2, 128), ("dim", 2, 768), ("depth", 2, 12)),
)


FAMILY = Family(
    name="vision_transformer",
    summary="A vision transformer classifies patches of an image; large matrix products.",
    imports=_IMPORTS,
    definitions='''\
class PatchEmbedding(nn.Module):
    """Cuts an image into patches and projects each to a vector."""

    def __init__(self, patch, dim):
        super().__init__()
        self.project = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)

    def forward(self, images):
        return self.project(images).flatten(2).transpose(1, 2)


class EncoderBlock(nn.Module):
    def __init__(self, dim, heads, expand=4):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, expand * dim), nn.GELU(), nn.Linear(expand * dim, dim))

    def forward(self, x):
        n, t, c = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c)
        x = x + self.proj(mixed)
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches, a class token, learned positions and a stack of encoder blocks."""

    def __init__(self, image, patch, dim, depth, heads, classes):
        super().__init__()
        self.patches = PatchEmbedding(patch, dim)
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position = nn.Parameter(0.02 * torch.randn(1, (image // patch) ** 2 + 1, dim))
        self.blocks = nn.Sequential(*[EncoderBlock(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, images):
        x = self.patches(images)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])
''',
    setup="""\
S.images = torch.randn(4 * H.batch_size, 3, H.image, H.image, device=device)
S.labels = torch.randint(0, 10, (4 * H.batch_size,), device=device)
S.model = VisionTransformer(H.image, H.patch, H.dim, H.depth, H.heads, 10).to(device)
S.optimizer = torch.optim.AdamW(S.model.parameters(), lr=H.lr, weight_decay=H.weight_decay)
""",
    step="""\
picked = torch.randperm(S.images.shape[0], device=device)[: H.batch_size]
logits = S.model(S.images[picked])
loss = F.cross_entropy(logits, S.labels[picked], label_smoothing=0.1)
S.optimizer.zero_grad(set_to_none=True)
loss.backward()
S.optimizer.step()
""",
    report="""\
with torch.no_grad():
    logits = S.model(S.images[: H.batch_size])
    summary = (logits.argmax(dim=1) == S.labels[: H.batch_size]).float().mean().item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

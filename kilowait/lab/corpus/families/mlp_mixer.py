"""An all-MLP image model that mixes patches and channels, with averaged weights; matrix products."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    c, t, depth, b, e = sizes(h, "hidden", "patches", "layers", "batch_size", "expand")
    per_layer = 4 * b * t * c * (t / 2 + e * c)
    return Cost(
        3 * (depth * per_layer + 2 * b * t * 48 * c),
        depth * (b * t * c * (30 + 10 * e) + 24 * e * c * c),
        180 * depth + 90,
    )


_SIZING = Sizing(
    cost=_cost,
    scale=1.2,
    choices={
        "hidden": (64, 96, 128, 192, 256),
        "patches": (16, 36, 64, 100),
        "layers": (1, 2, 3, 4, 6),
        "batch_size": (8, 16, 32),
        "expand": (2, 3, 4),
        "lr": (3e-4, 5e-4, 1e-3),
        "ema_decay": (0.9, 0.99, 0.999),
    },
    steps=(10, 58),
    growth=(("batch_size", 2, 128), ("hidden", 2, 768), ("layers", 2, 12), ("patches", 2, 196)),
)


FAMILY = Family(
    name="mlp_mixer",
    summary="An all-MLP image model that mixes patches and channels, with averaged weights; matrix products.",
    imports="import copy\n\n" + _IMPORTS,
    definitions='''\
class FeedForward(nn.Module):
    def __init__(self, size, inner):
        super().__init__()
        self.fc1 = nn.Linear(size, inner)
        self.fc2 = nn.Linear(inner, size)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class MixerLayer(nn.Module):
    """First across patches, then across channels, each with a residual path."""

    def __init__(self, patches, hidden, expand):
        super().__init__()
        self.norm_tokens = nn.LayerNorm(hidden)
        self.tokens = FeedForward(patches, patches // 2)
        self.norm_channels = nn.LayerNorm(hidden)
        self.channels = FeedForward(hidden, expand * hidden)

    def forward(self, x):
        y = self.norm_tokens(x).transpose(1, 2)
        x = x + self.tokens(y).transpose(1, 2)
        return x + self.channels(self.norm_channels(x))


class Mixer(nn.Module):
    """The network takes images that are already cut into flat patches."""

    def __init__(self, patches, patch_values, hidden, layers, expand, classes):
        super().__init__()
        self.embed = nn.Linear(patch_values, hidden)
        self.layers = nn.ModuleList([MixerLayer(patches, hidden, expand) for _ in range(layers)])
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(dim=1))


@torch.no_grad()
def update_average(average, model, decay):
    """Move the averaged weights a little towards the current ones."""
    for slow, fast in zip(average.parameters(), model.parameters()):
        slow.lerp_(fast, 1.0 - decay)
''',
    setup="""\
S.model = Mixer(H.patches, 48, H.hidden, H.layers, H.expand, 100).to(device)
S.average = copy.deepcopy(S.model).requires_grad_(False)
S.optimizer = torch.optim.AdamW(S.model.parameters(), lr=H.lr)
S.inputs = torch.randn(3 * H.batch_size, H.patches, 48, device=device)
S.targets = torch.randint(0, 100, (3 * H.batch_size,), device=device)
""",
    step="""\
chunk = slice((step % 3) * H.batch_size, (step % 3 + 1) * H.batch_size)
S.optimizer.zero_grad()
loss = F.cross_entropy(S.model(S.inputs[chunk]), S.targets[chunk])
loss.backward()
S.optimizer.step()
update_average(S.average, S.model, H.ema_decay)
""",
    report="""\
with torch.no_grad():
    logits = S.average(S.inputs[: H.batch_size])
summary = F.cross_entropy(logits, S.targets[: H.batch_size]).item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

"""A three-dimensional convolutional network classifies scans; 3D convolutions."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes


def _cost(h: Hyperparameters) -> Cost:
    c, b, r, d = sizes(h, "filters", "batch_size", "volume_size", "stages")
    voxels = b * r**3
    forward = voxels * 54 * c + sum(voxels / 8**i * 54 * 4**i * c * c * (1.5 if i else 1) for i in range(int(d)))
    return Cost(3 * forward, voxels * c * 40, 120 * d + 80)


_SIZING = Sizing(
    cost=_cost,
    scale=2.8,
    choices={
        "filters": (4, 6, 8, 12, 16),
        "batch_size": (2, 4, 8),
        "volume_size": (8, 12, 16, 20, 24, 32),
        "stages": (2, 3),
        "lr": (1e-4, 3e-4, 1e-3),
        "dropout": (0.0, 0.2, 0.4),
    },
    steps=(21, 130),
    growth=(("batch_size", 2, 16), ("filters", 2, 48), ("volume_size", 2, 64)),
)


FAMILY = Family(
    name="volume_classifier",
    summary="A three-dimensional convolutional network classifies scans; 3D convolutions.",
    imports="import torch\nfrom torch import nn, optim",
    definitions='''\
class VolumeStage(nn.Sequential):
    """Two convolutions over height, width and depth with group normalisation."""

    def __init__(self, inputs, outputs):
        super().__init__(
            nn.Conv3d(inputs, outputs, kernel_size=3, padding=1),
            nn.GroupNorm(2, outputs),
            nn.LeakyReLU(0.1),
            nn.Conv3d(outputs, outputs, kernel_size=3, padding=1),
            nn.GroupNorm(2, outputs),
            nn.LeakyReLU(0.1),
        )


class VolumeNet(nn.Module):
    def __init__(self, filters, stages, classes, dropout):
        super().__init__()
        sizes = [1] + [filters * 2**i for i in range(stages)]
        self.stages = nn.ModuleList([VolumeStage(a, b) for a, b in zip(sizes[:-1], sizes[1:])])
        self.pool = nn.MaxPool3d(2)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(sizes[-1], classes)

    def forward(self, scan):
        x = scan
        for index, stage in enumerate(self.stages):
            x = stage(x if index == 0 else self.pool(x))
        return self.head(self.drop(x.mean(dim=(2, 3, 4))))


def make_scans(count, size, device):
    """Noise with a bright ball inside; the label says in which half the ball lies."""
    axis = torch.linspace(-1, 1, size, device=device)
    z, y, x = torch.meshgrid(axis, axis, axis, indexing="ij")
    labels = torch.randint(0, 2, (count,), device=device)
    centre = (labels.float() - 0.5).view(-1, 1, 1, 1)
    ball = ((z - centre) ** 2 + y**2 + x**2 < 0.1).float()
    return (ball + 0.3 * torch.randn_like(ball)).unsqueeze(1), labels


def random_flip(scans):
    """Mirror left and right, which leaves the label as it is."""
    flipped = scans.flip(4)
    chosen = torch.rand(scans.shape[0], 1, 1, 1, 1, device=scans.device) < 0.5
    return torch.where(chosen, flipped, scans)
''',
    setup="""\
S.scans, S.labels = make_scans(3 * H.batch_size, H.volume_size, device)
S.network = VolumeNet(H.filters, H.stages, 2, H.dropout).to(device)
S.optimizer = optim.RMSprop(S.network.parameters(), lr=H.lr, momentum=0.9)
S.criterion = nn.CrossEntropyLoss()
""",
    step="""\
picked = torch.randperm(S.scans.shape[0], device=device)[: H.batch_size]
scores = S.network(random_flip(S.scans[picked]))
loss = S.criterion(scores, S.labels[picked])
S.optimizer.zero_grad(set_to_none=True)
loss.backward()
S.optimizer.step()
""",
    report="""\
S.network.eval()
with torch.no_grad():
    scores = S.network(S.scans[: H.batch_size])
summary = S.criterion(scores, S.labels[: H.batch_size]).item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

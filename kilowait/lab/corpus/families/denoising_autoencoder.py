"""An autoencoder cleans windows of a noisy signal; wide matrix products."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes


def _cost(h: Hyperparameters) -> Cost:
    x, u, b, n = sizes(h, "window", "width", "batch_size", "depth")
    params = 2 * x * u + 1.5 * n * u * u
    return Cost(6 * b * params, b * (70 * x + 30 * n * u) + 10 * params, 60 * n + 160)


_SIZING = Sizing(
    cost=_cost,
    scale=0.9,
    choices={
        "window": (256, 512, 1024, 2048),
        "width": (128, 256, 512, 768, 1024),
        "depth": (1, 2, 3),
        "batch_size": (16, 32, 64, 128, 256),
        "noise_std": (0.1, 0.3, 0.5),
        "lr": (0.001, 0.003, 0.01),
    },
    steps=(9, 57),
    growth=(("batch_size", 2, 8192), ("width", 2, 8192), ("window", 2, 8192)),
)


FAMILY = Family(
    name="denoising_autoencoder",
    summary="An autoencoder cleans windows of a noisy signal; wide matrix products.",
    imports="import math\n\nimport torch\nimport torch.nn as nn",
    definitions='''\
class GatedLayer(nn.Module):
    """A linear layer whose output is gated by a part of itself."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x):
        y = self.norm(self.linear(x))
        return y * torch.sigmoid(y)


class SignalAutoencoder(nn.Module):
    """A window of samples goes through a bottleneck of half the width and back."""

    def __init__(self, window, width, depth):
        super().__init__()
        narrow = width // 2
        down = [GatedLayer(window, width)] + [GatedLayer(width, width) for _ in range(depth - 1)]
        up = [GatedLayer(narrow, width)] + [GatedLayer(width, width) for _ in range(depth - 1)]
        self.encoder = nn.Sequential(*down, nn.Linear(width, narrow))
        self.decoder = nn.Sequential(*up, nn.Linear(width, window))

    def forward(self, noisy):
        return self.decoder(self.encoder(noisy))


class SignalSource:
    """Windows of two sine waves with random pitch, and the same with noise and gaps."""

    def __init__(self, window, noise_std, device):
        self.time = torch.linspace(0, 1, window, device=device)
        self.noise_std = noise_std
        self.device = device

    def clean(self, count):
        pitch = 2 + 30 * torch.rand(count, 2, 1, device=self.device)
        phase = 2 * math.pi * torch.rand(count, 2, 1, device=self.device)
        return torch.sin(2 * math.pi * pitch * self.time + phase).mean(dim=1)

    def spoil(self, clean):
        noisy = clean + self.noise_std * torch.randn_like(clean)
        return noisy * (torch.rand_like(clean) > 0.1)


def signal_to_noise(restored, clean):
    """In decibels."""
    error = (restored - clean).pow(2).mean().item()
    return 10 * math.log10(clean.pow(2).mean().item() / max(error, 1e-12))
''',
    setup="""\
S.source = SignalSource(H.window, H.noise_std, device)
S.model = SignalAutoencoder(H.window, H.width, H.depth).to(device)
S.optimizer = torch.optim.SGD(S.model.parameters(), lr=H.lr, momentum=0.9)
S.criterion = nn.SmoothL1Loss()
""",
    step="""\
clean = S.source.clean(H.batch_size)
noisy = S.source.spoil(clean)
S.optimizer.zero_grad()
restored = S.model(noisy)
loss = S.criterion(restored, clean)
loss.backward()
S.optimizer.step()
""",
    report="""\
held_out = S.source.clean(H.batch_size)
with torch.no_grad():
    restored = S.model(S.source.spoil(held_out))
summary = signal_to_noise(restored, held_out)
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

"""A denoiser learns to undo noise and then draws samples step by step; convolutions and a serial loop."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    # Sampling happens once, after the loop: it is spread here over the steps of a typical draw.
    c, n, b, r, k = sizes(h, "channels", "num_blocks", "batch_size", "image_size", "sampling_steps")
    pixels, drawn = b * r * r, k / 15
    forward = pixels * (2 * 9 * 6 * c + n * 36 * c * c)
    return Cost(forward * (3 + drawn), pixels * c * n * (34 + 10 * drawn), 170 * n + 110 + 50 * n * drawn)


_SIZING = Sizing(
    cost=_cost,
    scale=1.55,
    choices={
        "channels": (8, 16, 24, 32, 48),
        "num_blocks": (1, 2, 3, 4),
        "batch_size": (2, 4, 8, 16),
        "image_size": (12, 16, 24, 32),
        "noise_levels": (50, 100, 200, 1000),
        "sampling_steps": (3, 5, 10),
        "lr": (1e-4, 2e-4, 1e-3),
    },
    steps=(89, 540),
    growth=(("batch_size", 2, 128), ("channels", 2, 128), ("image_size", 2, 64), ("num_blocks", 2, 8)),
)


FAMILY = Family(
    name="diffusion_model",
    summary="A denoiser learns to undo noise and then draws samples step by step; convolutions and a serial loop.",
    imports="import math\n\n" + _IMPORTS,
    definitions='''\
def time_embedding(levels, dim):
    """Sines and cosines of the noise level."""
    half = dim // 2
    rates = torch.exp(-math.log(10000.0) * torch.arange(half, device=levels.device) / half)
    angles = levels[:, None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


class TimedBlock(nn.Module):
    """A residual block that is told the noise level."""

    def __init__(self, channels):
        super().__init__()
        self.norm1 = nn.GroupNorm(4, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.time = nn.Linear(channels, channels)
        self.norm2 = nn.GroupNorm(4, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x, when):
        out = self.conv1(F.silu(self.norm1(x))) + self.time(when)[:, :, None, None]
        return x + self.conv2(F.silu(self.norm2(out)))


class Denoiser(nn.Module):
    def __init__(self, channels, blocks):
        super().__init__()
        self.channels = channels
        self.enter = nn.Conv2d(3, channels, 3, padding=1)
        self.blocks = nn.ModuleList([TimedBlock(channels) for _ in range(blocks)])
        self.leave = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x, levels):
        when = time_embedding(levels, self.channels)
        x = self.enter(x)
        for block in self.blocks:
            x = block(x, when)
        return self.leave(F.silu(x))


def signal_schedule(count, device):
    """Share of signal that is left at each noise level, by a cosine."""
    t = torch.linspace(0, 1, count, device=device)
    return torch.cos(0.5 * math.pi * (0.01 + 0.98 * t)) ** 2


@torch.no_grad()
def draw_samples(model, signal, shape, count, device):
    """From pure noise to images in `count` deterministic steps."""
    x = torch.randn(shape, device=device)
    levels = torch.linspace(signal.shape[0] - 1, 0, count, device=device).long()
    for i in range(count):
        now = signal[levels[i]]
        after = signal[levels[i + 1]] if i + 1 < count else torch.ones((), device=device)
        noise = model(x, levels[i].repeat(shape[0]))
        clean = ((x - (1 - now).sqrt() * noise) / now.sqrt()).clamp(-1, 1)
        x = after.sqrt() * clean + (1 - after).sqrt() * noise
    return x
''',
    setup="""\
S.images = torch.rand(4 * H.batch_size, 3, H.image_size, H.image_size, device=device) * 2 - 1
S.signal = signal_schedule(H.noise_levels, device)
S.model = Denoiser(H.channels, H.num_blocks).to(device)
S.optimizer = torch.optim.AdamW(S.model.parameters(), lr=H.lr)
""",
    step="""\
clean = S.images[torch.randint(0, S.images.shape[0], (H.batch_size,), device=device)]
levels = torch.randint(0, H.noise_levels, (H.batch_size,), device=device)
share = S.signal[levels].view(-1, 1, 1, 1)
noise = torch.randn_like(clean)
predicted = S.model(share.sqrt() * clean + (1 - share).sqrt() * noise, levels)
loss = F.mse_loss(predicted, noise)
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
""",
    report="""\
shape = (H.batch_size, 3, H.image_size, H.image_size)
samples = draw_samples(S.model, S.signal, shape, H.sampling_steps, device)
summary = samples.std().item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

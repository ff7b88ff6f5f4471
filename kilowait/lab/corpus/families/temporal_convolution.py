"""Dilated causal convolutions that forecast mixed sine waves; small convolutions over long windows."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    c, k, depth, b, t = sizes(h, "channels", "kernel_size", "levels", "batch", "window")
    return Cost(
        6 * b * t * (2 * depth - 1) * k * c * c,
        b * t * c * depth * 30 + 24 * depth * k * c * c,
        330 * depth + 80,
    )


_SIZING = Sizing(
    cost=_cost,
    scale=1.25,
    launches_s=70.0,
    choices={
        "channels": (8, 16, 24, 32, 48, 64),
        "kernel_size": (2, 3, 5),
        "levels": (2, 3, 4, 5, 6),
        "batch": (2, 4, 8, 16, 32),
        "window": (64, 96, 128, 192, 256, 384),
        "lr": (5e-4, 1e-3, 2e-3),
    },
    steps=(18, 110),
    growth=(("batch", 2, 256), ("channels", 2, 512), ("window", 2, 512), ("levels", 2, 8)),
)


FAMILY = Family(
    name="temporal_convolution",
    summary="Dilated causal convolutions that forecast mixed sine waves; small convolutions over long windows.",
    imports="import math\n" + _IMPORTS,
    definitions='''\
class CausalConv(nn.Module):
    """A dilated convolution that sees only the past: the padding goes in front."""

    def __init__(self, channels_in, channels_out, kernel_size, dilation):
        super().__init__()
        self.pad = (kernel_size - 1) * dilation
        self.conv = nn.Conv1d(channels_in, channels_out, kernel_size, dilation=dilation)

    def forward(self, x):
        return self.conv(F.pad(x, (self.pad, 0)))


class TemporalBlock(nn.Module):
    def __init__(self, channels_in, channels_out, kernel_size, dilation):
        super().__init__()
        self.first = CausalConv(channels_in, channels_out, kernel_size, dilation)
        self.norm = nn.GroupNorm(1, channels_out)
        self.second = CausalConv(channels_out, channels_out, kernel_size, dilation)
        self.skip = nn.Conv1d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x):
        y = F.relu(self.norm(self.first(x)))
        y = F.relu(self.second(y))
        return y + self.skip(x)


class Forecaster(nn.Module):
    def __init__(self, channels, kernel_size, levels):
        super().__init__()
        blocks = [TemporalBlock(1, channels, kernel_size, 1)]
        for level in range(1, levels):
            blocks.append(TemporalBlock(channels, channels, kernel_size, 2**level))
        self.blocks = nn.Sequential(*blocks)
        self.readout = nn.Conv1d(channels, 1, 1)

    def forward(self, signal):
        return self.readout(self.blocks(signal))


def waves(batch, window, device):
    """Two sines of random pitch and phase with noise, one sample longer than the window."""
    time = torch.arange(window + 1, device=device) / window
    pitch = 1 + 15 * torch.rand(batch, 2, 1, device=device)
    phase = 2 * math.pi * torch.rand(batch, 2, 1, device=device)
    clean = torch.sin(2 * math.pi * pitch * time + phase).sum(dim=1, keepdim=True)
    return clean + 0.05 * torch.randn_like(clean)
''',
    setup="""\
S.forecaster = Forecaster(H.channels, H.kernel_size, H.levels).to(device)
S.optimizer = torch.optim.AdamW(S.forecaster.parameters(), lr=H.lr)
S.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(S.optimizer, T_max=H.steps)
S.errors = []
""",
    step="""\
signal = waves(H.batch, H.window, device)
forecast = S.forecaster(signal[..., :-1])
loss = F.smooth_l1_loss(forecast, signal[..., 1:])
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
S.scheduler.step()
S.errors.append(loss.item())
""",
    report="""\
print("first error:", S.errors[0])
summary = S.errors[-1]
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

"""A residual network enlarges images by rearranging channels into pixels; convolutions without pooling."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    c, n, b, r, up = sizes(h, "feature_maps", "num_blocks", "batch_size", "crop", "upscale")
    pixels = b * r * r
    return Cost(
        3 * pixels * (54 * c + 36 * n * c * c + 18 * c * 3 * up * up),
        pixels * (14 * n * c + 10 * c + 60 * up * up),
        80 * n + 130,
    )


_SIZING = Sizing(
    cost=_cost,
    scale=1.7,
    choices={
        "feature_maps": (8, 16, 24, 32, 48),
        "num_blocks": (1, 2, 4, 6),
        "batch_size": (1, 2, 4, 8),
        "crop": (24, 32, 48, 64),
        "upscale": (2, 3, 4),
        "learning_rate": (1e-4, 2e-4, 1e-3),
    },
    steps=(26, 150),
    growth=(("batch_size", 2, 16), ("feature_maps", 2, 96), ("crop", 2, 192)),
)


FAMILY = Family(
    name="super_resolution",
    summary="A residual network enlarges images by rearranging channels into pixels; convolutions without pooling.",
    imports="import math\n\n" + _IMPORTS,
    definitions='''\
class PlainBlock(nn.Module):
    """Two convolutions without normalisation and a damped residual."""

    def __init__(self, maps, damping=0.1):
        super().__init__()
        self.damping = damping
        self.conv1 = nn.Conv2d(maps, maps, 3, padding=1)
        self.conv2 = nn.Conv2d(maps, maps, 3, padding=1)

    def forward(self, x):
        return x + self.damping * self.conv2(F.relu(self.conv1(x)))


class Enlarger(nn.Module):
    """All work at the small size; the last layer makes the large one."""

    def __init__(self, maps, blocks, upscale):
        super().__init__()
        self.enter = nn.Conv2d(3, maps, 3, padding=1)
        self.body = nn.Sequential(*[PlainBlock(maps) for _ in range(blocks)])
        self.leave = nn.Conv2d(maps, 3 * upscale**2, 3, padding=1)
        self.shuffle = nn.PixelShuffle(upscale)
        self.upscale = upscale

    def forward(self, small):
        x = self.enter(small)
        x = self.leave(x + self.body(x))
        base = F.interpolate(small, scale_factor=self.upscale, mode="nearest")
        return base + self.shuffle(x)


def smooth_images(count, size, device):
    """Sums of random waves: images with structure at several scales."""
    axis = torch.linspace(0, 2 * math.pi, size, device=device)
    rows, columns = axis[:, None], axis[None, :]
    images = torch.zeros(count, 3, size, size, device=device)
    for frequency in (1, 2, 4, 8):
        phase = 2 * math.pi * torch.rand(count, 3, 1, 1, device=device)
        images += torch.sin(frequency * rows + phase) * torch.cos(frequency * columns - phase) / frequency
    return images


def charbonnier(prediction, target, epsilon=1e-3):
    """A smooth absolute error."""
    return torch.sqrt((prediction - target) ** 2 + epsilon**2).mean()


def psnr(prediction, target):
    error = F.mse_loss(prediction, target).item()
    return 10.0 * math.log10(4.0 / max(error, 1e-12))
''',
    setup="""\
S.large = smooth_images(2 * H.batch_size, H.crop * H.upscale, device)
S.small = F.avg_pool2d(S.large, H.upscale)
S.model = Enlarger(H.feature_maps, H.num_blocks, H.upscale).to(device)
S.optimizer = torch.optim.Adam(S.model.parameters(), lr=H.learning_rate, betas=(0.9, 0.99))
""",
    step="""\
half = slice(0, H.batch_size) if step % 2 == 0 else slice(H.batch_size, 2 * H.batch_size)
noisy = S.small[half] + 0.02 * torch.randn_like(S.small[half])
S.optimizer.zero_grad()
loss = charbonnier(S.model(noisy), S.large[half])
loss.backward()
S.optimizer.step()
""",
    report="""\
with torch.no_grad():
    enlarged = S.model(S.small[: H.batch_size])
summary = psnr(enlarged, S.large[: H.batch_size])
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

"""A U-Net labels every pixel of a tile; convolutions and memory traffic at high resolution."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    c, levels, b, r, k = sizes(h, "base_channels", "levels", "batch_size", "tile", "num_classes")
    pixels = b * r * r
    forward = pixels * (18 * c * (1 + c) + 27 * c * c * levels + 54 * c * c * levels + 2 * k * c)
    return Cost(3 * forward, pixels * c * 75 + 12 * 30 * c * c * 4**levels, 260 * levels + 160)


_SIZING = Sizing(
    cost=_cost,
    scale=2.6,
    choices={
        "base_channels": (4, 6, 8, 12, 16),
        "levels": (1, 2, 3),
        "batch_size": (1, 2, 4, 8),
        "tile": (32, 48, 64, 96, 128),
        "num_classes": (2, 3, 5),
        "lr": (1e-4, 5e-4, 1e-3),
    },
    steps=(25, 150),
    growth=(("batch_size", 2, 16), ("base_channels", 2, 48), ("tile", 2, 384)),
)


FAMILY = Family(
    name="unet_segmentation",
    summary="A U-Net labels every pixel of a tile; convolutions and memory traffic at high resolution.",
    imports=_IMPORTS,
    definitions='''\
def double_conv(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class UNet(nn.Module):
    """A contracting path, an expanding path, and connections between equal resolutions."""

    def __init__(self, base, levels, classes):
        super().__init__()
        widths = [base * 2**i for i in range(levels + 1)]
        self.first = double_conv(1, base)
        self.down = nn.ModuleList([double_conv(a, b) for a, b in zip(widths[:-1], widths[1:])])
        self.grow = nn.ModuleList(
            [nn.ConvTranspose2d(b, a, 2, stride=2) for a, b in zip(widths[:-1], widths[1:])]
        )
        self.up = nn.ModuleList([double_conv(2 * a, a) for a in widths[:-1]])
        self.out = nn.Conv2d(base, classes, 1)

    def forward(self, x):
        kept = [self.first(x)]
        for block in self.down:
            kept.append(block(F.max_pool2d(kept[-1], 2)))
        x = kept.pop()
        for grow, block in zip(reversed(self.grow), reversed(self.up)):
            x = block(torch.cat([grow(x), kept.pop()], dim=1))
        return self.out(x)


def make_tiles(count, tile, classes, device):
    """Discs of random size and place; the label of a pixel is the class of its disc."""
    axis = torch.linspace(-1, 1, tile, device=device)
    centre = torch.rand(count, 2, 1, 1, device=device) - 0.5
    radius = 0.2 + 0.4 * torch.rand(count, 1, 1, device=device)
    distance = ((axis[None, :, None] - centre[:, 0]) ** 2 + (axis[None, None, :] - centre[:, 1]) ** 2).sqrt()
    kind = torch.randint(1, classes, (count, 1, 1), device=device)
    masks = (distance < radius).long() * kind
    images = masks.float().unsqueeze(1) + 0.5 * torch.randn(count, 1, tile, tile, device=device)
    return images, masks


def dice_loss(logits, masks):
    """One minus the overlap of soft prediction and mask, averaged over classes."""
    soft = logits.softmax(dim=1)
    hard = F.one_hot(masks, logits.shape[1]).permute(0, 3, 1, 2).float()
    overlap = (soft * hard).sum(dim=(0, 2, 3))
    return 1.0 - (2 * overlap / (soft + hard).sum(dim=(0, 2, 3)).clamp(min=1.0)).mean()
''',
    setup="""\
S.images, S.masks = make_tiles(3 * H.batch_size, H.tile, H.num_classes, device)
S.model = UNet(H.base_channels, H.levels, H.num_classes).to(device)
S.optimizer = torch.optim.Adam(S.model.parameters(), lr=H.lr)
""",
    step="""\
picked = torch.randint(0, S.images.shape[0], (H.batch_size,), device=device)
logits = S.model(S.images[picked])
loss = F.cross_entropy(logits, S.masks[picked]) + dice_loss(logits, S.masks[picked])
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
""",
    report="""\
with torch.no_grad():
    guess = S.model(S.images[: H.batch_size]).argmax(dim=1)
summary = (guess == S.masks[: H.batch_size]).float().mean().item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

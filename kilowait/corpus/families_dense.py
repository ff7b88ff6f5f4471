"""Programs whose output is as large as their input, and programs over video and volumes.

Limits covered: memory traffic at high resolution (U-Net, super-resolution), three-dimensional convolutions, a
convolutional network followed by a recurrent one, dense heads with many small operators (detection).
"""

from kilowait.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _unet_cost(h: Hyperparameters) -> Cost:
    c, levels, b, r, k = sizes(h, "base_channels", "levels", "batch_size", "tile", "num_classes")
    pixels = b * r * r
    forward = pixels * (18 * c * (1 + c) + 27 * c * c * levels + 54 * c * c * levels + 2 * k * c)
    return Cost(3 * forward, pixels * c * 75 + 12 * 30 * c * c * 4**levels, 260 * levels + 160)


_UNET_SIZING = Sizing(
    cost=_unet_cost,
    scale=2.6,
    choices={
        "base_channels": (4, 6, 8, 12, 16),
        "levels": (1, 2, 3),
        "batch_size": (1, 2, 4, 8),
        "tile": (32, 48, 64, 96, 128),
        "num_classes": (2, 3, 5),
        "lr": (1e-4, 5e-4, 1e-3),
    },
    steps=(3, 40),
    growth=(("batch_size", 2, 16), ("base_channels", 2, 48), ("tile", 2, 384)),
)

_UNET = Family(
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
    draw=_UNET_SIZING.draw,
    enlarge=_UNET_SIZING.enlarge,
    seconds=_UNET_SIZING.seconds,
)


def _superres_cost(h: Hyperparameters) -> Cost:
    c, n, b, r, up = sizes(h, "feature_maps", "num_blocks", "batch_size", "crop", "upscale")
    pixels = b * r * r
    return Cost(
        3 * pixels * (54 * c + 36 * n * c * c + 18 * c * 3 * up * up),
        pixels * (14 * n * c + 10 * c + 60 * up * up),
        80 * n + 130,
    )


_SUPERRES_SIZING = Sizing(
    cost=_superres_cost,
    scale=1.7,
    choices={
        "feature_maps": (8, 16, 24, 32, 48),
        "num_blocks": (1, 2, 4, 6),
        "batch_size": (1, 2, 4, 8),
        "crop": (24, 32, 48, 64),
        "upscale": (2, 3, 4),
        "learning_rate": (1e-4, 2e-4, 1e-3),
    },
    steps=(3, 40),
    growth=(("batch_size", 2, 16), ("feature_maps", 2, 96), ("crop", 2, 192)),
)

_SUPERRES = Family(
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
    draw=_SUPERRES_SIZING.draw,
    enlarge=_SUPERRES_SIZING.enlarge,
    seconds=_SUPERRES_SIZING.seconds,
)


def _volume_cost(h: Hyperparameters) -> Cost:
    c, b, r, d = sizes(h, "filters", "batch_size", "volume_size", "stages")
    voxels = b * r**3
    forward = voxels * 54 * c + sum(voxels / 8**i * 54 * 4**i * c * c * (1.5 if i else 1) for i in range(int(d)))
    return Cost(3 * forward, voxels * c * 40, 120 * d + 80)


_VOLUME_SIZING = Sizing(
    cost=_volume_cost,
    scale=2.8,
    choices={
        "filters": (4, 6, 8, 12, 16),
        "batch_size": (2, 4, 8),
        "volume_size": (8, 12, 16, 20, 24, 32),
        "stages": (2, 3),
        "lr": (1e-4, 3e-4, 1e-3),
        "dropout": (0.0, 0.2, 0.4),
    },
    steps=(3, 40),
    growth=(("batch_size", 2, 16), ("filters", 2, 48), ("volume_size", 2, 64)),
)

_VOLUME = Family(
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
    draw=_VOLUME_SIZING.draw,
    enlarge=_VOLUME_SIZING.enlarge,
    seconds=_VOLUME_SIZING.seconds,
)


def _video_cost(h: Hyperparameters) -> Cost:
    c, t, b, r, u = sizes(h, "channels", "frames", "batch_size", "frame_size", "lstm_units")
    pixels, n = b * t * r * r, b * t
    forward = pixels * (13.5 * c + 9 * c * c + 9 * c * c) + n * 8 * u * (4 * c + u)
    return Cost(3 * forward, pixels * c * 9 + n * u * 60 + 14 * (36 * c * c + 4 * u * (4 * c + u)), 60 * t + 240)


_VIDEO_SIZING = Sizing(
    cost=_video_cost,
    scale=1.0,
    choices={
        "channels": (8, 12, 16, 24, 32),
        "frames": (4, 6, 8, 12, 16),
        "batch_size": (2, 4, 8),
        "frame_size": (24, 32, 48, 64),
        "lstm_units": (32, 64, 128, 256),
        "lr": (3e-4, 1e-3),
    },
    steps=(3, 40),
    growth=(("batch_size", 2, 32), ("channels", 2, 64), ("lstm_units", 2, 1024), ("frame_size", 2, 128)),
)

_VIDEO = Family(
    name="video_cnn_lstm",
    summary="A convolutional network reads frames and an LSTM reads the sequence; convolutions, then a serial loop.",
    imports="import torch\nimport torch.nn as nn",
    definitions='''\
class FrameEncoder(nn.Module):
    """Three strided convolutions turn a frame into a vector."""

    def __init__(self, channels):
        super().__init__()
        self.net = nn.Sequential(
            nn.Conv2d(3, channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.Conv2d(2 * channels, 4 * channels, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )

    def forward(self, frames):
        return self.net(frames)


class VideoClassifier(nn.Module):
    """Frames first, each on its own, then time."""

    def __init__(self, channels, units, classes):
        super().__init__()
        self.frames = FrameEncoder(channels)
        self.lstm = nn.LSTM(4 * channels, units, batch_first=True)
        self.attention = nn.Linear(units, 1)
        self.head = nn.Linear(units, classes)

    def forward(self, clips):
        n, t = clips.shape[:2]
        features = self.frames(clips.flatten(0, 1)).view(n, t, -1)
        states, _ = self.lstm(features)
        weights = self.attention(states).softmax(dim=1)
        return self.head((weights * states).sum(dim=1))


class MovingSquares:
    """Clips in which a bright square moves in one of four directions; the direction is the label."""

    def __init__(self, frames, size, device):
        self.frames, self.size, self.device = frames, size, device

    def sample(self, count):
        labels = torch.randint(0, 4, (count,), device=self.device)
        clips = 0.3 * torch.randn(count, self.frames, 3, self.size, self.size, device=self.device)
        middle = self.size // 2
        clips[..., middle - 2 : middle + 2, middle - 2 : middle + 2] += 1.0
        moved = []
        for number in range(self.frames):
            still = clips[:, number]
            ways = [still.roll(number, 2), still.roll(-number, 2), still.roll(number, 3), still.roll(-number, 3)]
            stacked = torch.stack(ways, dim=1)
            moved.append(stacked[torch.arange(count, device=self.device), labels])
        return torch.stack(moved, dim=1), labels
''',
    setup="""\
S.source = MovingSquares(H.frames, H.frame_size, device)
S.clips, S.labels = S.source.sample(2 * H.batch_size)
S.model = VideoClassifier(H.channels, H.lstm_units, 4).to(device)
S.optimizer = torch.optim.Adam(S.model.parameters(), lr=H.lr)
S.criterion = nn.CrossEntropyLoss()
""",
    step="""\
picked = torch.randint(0, S.clips.shape[0], (H.batch_size,), device=device)
S.optimizer.zero_grad()
scores = S.model(S.clips[picked])
loss = S.criterion(scores, S.labels[picked])
loss.backward()
S.optimizer.step()
""",
    report="""\
S.model.eval()
fresh, answers = S.source.sample(H.batch_size)
with torch.no_grad():
    guesses = S.model(fresh).argmax(dim=1)
summary = (guesses == answers).float().mean().item()
""",
    draw=_VIDEO_SIZING.draw,
    enlarge=_VIDEO_SIZING.enlarge,
    seconds=_VIDEO_SIZING.seconds,
)


def _detector_cost(h: Hyperparameters) -> Cost:
    c, b, r, a = sizes(h, "channels", "batch_size", "image_size", "anchors")
    pixels = b * r * r
    forward = pixels * (13.5 * c + 13.5 * c * c + 2.75 * c * a)
    return Cost(3 * forward, pixels * c * 14 + pixels * a * 3 + 14 * 700 * c * c, 620)


_DETECTOR_SIZING = Sizing(
    cost=_detector_cost,
    scale=1.2,
    choices={
        "channels": (6, 8, 12, 16, 24),
        "batch_size": (1, 2, 4, 8, 16),
        "image_size": (64, 96, 128, 160),
        "anchors": (2, 3, 5),
        "box_weight": (1.0, 2.0, 5.0),
        "lr": (1e-4, 1e-3, 1e-2),
    },
    steps=(3, 50),
    growth=(("batch_size", 2, 64), ("channels", 2, 64), ("image_size", 2, 320)),
)

_DETECTOR = Family(
    name="object_detector",
    summary="A one-stage detector predicts boxes on a grid; convolutions and many small operators in the loss.",
    imports=_IMPORTS,
    definitions='''\
class Downsample(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x):
        return F.silu(self.norm(self.conv(x)))


class GridDetector(nn.Module):
    """Every cell of an eighth-size grid predicts some boxes: place, size, presence and class."""

    def __init__(self, channels, anchors, classes):
        super().__init__()
        self.anchors, self.outputs = anchors, 5 + classes
        self.backbone = nn.Sequential(
            Downsample(3, channels),
            Downsample(channels, 2 * channels),
            Downsample(2 * channels, 4 * channels),
        )
        self.neck = nn.Conv2d(4 * channels, 8 * channels, 3, padding=1)
        self.predict = nn.Conv2d(8 * channels, anchors * self.outputs, 1)

    def forward(self, images):
        raw = self.predict(F.silu(self.neck(self.backbone(images))))
        n, _, rows, columns = raw.shape
        return raw.view(n, self.anchors, self.outputs, rows, columns).permute(0, 1, 3, 4, 2)


def overlap(a, b):
    """Intersection over union of boxes given as centre and size."""
    low = torch.maximum(a[..., :2] - a[..., 2:] / 2, b[..., :2] - b[..., 2:] / 2)
    high = torch.minimum(a[..., :2] + a[..., 2:] / 2, b[..., :2] + b[..., 2:] / 2)
    shared = (high - low).clamp(min=0).prod(dim=-1)
    return shared / (a[..., 2:].prod(dim=-1) + b[..., 2:].prod(dim=-1) - shared + 1e-6)


def make_targets(count, anchors, cells, classes, device):
    """Boxes, presence and classes for every anchor of every cell."""
    shape = (count, anchors, cells, cells)
    boxes = torch.rand(*shape, 4, device=device) * 0.8 + 0.1
    present = (torch.rand(shape, device=device) < 0.1).float()
    return boxes, present, torch.randint(0, classes, shape, device=device)


def detection_loss(output, boxes, present, kinds, box_weight):
    predicted = output[..., :4].sigmoid()
    box_error = ((1.0 - overlap(predicted, boxes)) * present).sum() / present.sum().clamp(min=1.0)
    presence = F.binary_cross_entropy_with_logits(output[..., 4], present)
    per_cell = F.cross_entropy(output[..., 5:].flatten(0, -2), kinds.flatten(), reduction="none")
    kind_error = (per_cell * present.flatten()).sum() / present.sum().clamp(min=1.0)
    return box_weight * box_error + presence + kind_error
''',
    setup="""\
S.images = torch.rand(2 * H.batch_size, 3, H.image_size, H.image_size, device=device)
S.boxes, S.present, S.kinds = make_targets(2 * H.batch_size, H.anchors, H.image_size // 8, 6, device)
S.model = GridDetector(H.channels, H.anchors, 6).to(device)
S.optimizer = torch.optim.SGD(S.model.parameters(), lr=H.lr, momentum=0.9, nesterov=True)
""",
    step="""\
rows = torch.randint(0, S.images.shape[0], (H.batch_size,), device=device)
output = S.model(S.images[rows])
loss = detection_loss(output, S.boxes[rows], S.present[rows], S.kinds[rows], H.box_weight)
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
""",
    report="""\
with torch.no_grad():
    output = S.model(S.images[: H.batch_size])
    quality = overlap(output[..., :4].sigmoid(), S.boxes[: H.batch_size])
summary = quality.mean().item()
""",
    draw=_DETECTOR_SIZING.draw,
    enlarge=_DETECTOR_SIZING.enlarge,
    seconds=_DETECTOR_SIZING.seconds,
)


FAMILIES: tuple[Family, ...] = (_UNET, _SUPERRES, _VOLUME, _VIDEO, _DETECTOR)
"""The dense, volume and video families in the order in which the corpus lists them."""

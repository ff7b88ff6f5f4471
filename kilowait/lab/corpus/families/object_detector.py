"""A one-stage detector predicts boxes on a grid; convolutions and many small operators in the loss."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    c, b, r, a = sizes(h, "channels", "batch_size", "image_size", "anchors")
    pixels = b * r * r
    forward = pixels * (13.5 * c + 13.5 * c * c + 2.75 * c * a)
    return Cost(3 * forward, pixels * c * 14 + pixels * a * 3 + 14 * 700 * c * c, 620)


_SIZING = Sizing(
    cost=_cost,
    scale=1.2,
    choices={
        "channels": (6, 8, 12, 16, 24),
        "batch_size": (1, 2, 4, 8, 16),
        "image_size": (64, 96, 128, 160),
        "anchors": (2, 3, 5),
        "box_weight": (1.0, 2.0, 5.0),
        "lr": (1e-4, 1e-3, 1e-2),
    },
    steps=(55, 330),
    growth=(("batch_size", 2, 64), ("channels", 2, 64), ("image_size", 2, 320)),
)


FAMILY = Family(
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
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

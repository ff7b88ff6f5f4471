"""A residual network with three stages classifies small images; convolutions."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    c, n, b, r = sizes(h, "width", "blocks_per_stage", "batch_size", "image_size")
    pixels = b * r * r
    forward = pixels * (54 * c + sum(36 * n * c * c for _ in range(3)))
    return Cost(3 * forward, pixels * c * 30 * n * 1.75 + 12 * 21 * 18 * n * c * c, 330 * n + 60)


_SIZING = Sizing(
    cost=_cost,
    scale=1.8,
    choices={
        "width": (8, 12, 16, 24, 32),
        "blocks_per_stage": (1, 2, 3),
        "batch_size": (8, 16, 24, 32, 64),
        "image_size": (16, 24, 32, 40),
        "num_classes": (10, 20, 100),
        "lr": (0.01, 0.05, 0.1),
    },
    steps=(8, 51),
    growth=(("batch_size", 2, 256), ("width", 2, 64), ("image_size", 2, 64)),
)


FAMILY = Family(
    name="resnet_classifier",
    summary="A residual network with three stages classifies small images; convolutions.",
    imports=_IMPORTS,
    definitions='''\
class ResidualBlock(nn.Module):
    """Two 3x3 convolutions and a way around them."""

    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != planes:
            self.shortcut = nn.Sequential(
                nn.Conv2d(inputs, planes, 1, stride=stride, bias=False), nn.BatchNorm2d(planes)
            )

    def forward(self, x):
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.shortcut(x))


class ResNet(nn.Module):
    """The small variant for 32x32 images: widths w, 2w and 4w."""

    def __init__(self, width, blocks, num_classes):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )
        layers, inputs = [], width
        for stage in range(3):
            planes = width * 2**stage
            for index in range(blocks):
                layers.append(ResidualBlock(inputs, planes, 2 if stage > 0 and index == 0 else 1))
                inputs = planes
        self.layers = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, num_classes)

    def forward(self, x):
        x = self.layers(self.stem(x))
        return self.head(x.mean(dim=(2, 3)))


def make_images(count, size, classes, device):
    """Noise whose brightness depends on the label, so that there is something to learn."""
    labels = torch.randint(0, classes, (count,), device=device)
    images = torch.randn(count, 3, size, size, device=device)
    return images + (labels.float() / classes)[:, None, None, None], labels
''',
    setup="""\
S.images, S.labels = make_images(4 * H.batch_size, H.image_size, H.num_classes, device)
S.model = ResNet(H.width, H.blocks_per_stage, H.num_classes).to(device)
S.optimizer = torch.optim.SGD(S.model.parameters(), lr=H.lr, momentum=0.9, weight_decay=5e-4)
S.criterion = nn.CrossEntropyLoss()
""",
    step="""\
picked = torch.randint(0, S.images.shape[0], (H.batch_size,), device=device)
S.optimizer.zero_grad()
logits = S.model(S.images[picked])
loss = S.criterion(logits, S.labels[picked])
loss.backward()
S.optimizer.step()
""",
    report="""\
S.model.eval()
with torch.no_grad():
    guesses = S.model(S.images[: H.batch_size]).argmax(dim=1)
summary = (guesses == S.labels[: H.batch_size]).float().mean().item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

"""A plain stack of convolutions and pooling with a wide classifier; convolutions and large layers."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes


def _cost(h: Hyperparameters) -> Cost:
    c, stages, b, r, fc = sizes(h, "channels", "stages", "batch", "resolution", "fc_units")
    pixels, flat = b * r * r, c * 2 ** (stages - 1) * (r / 2**stages) ** 2
    dense = flat * fc + fc * fc
    forward = pixels * (54 * c + 18 * c * c + 27 * c * c * (stages - 1)) + 2 * b * dense
    params = dense + 18 * c * c * 4 ** (stages - 1)
    return Cost(3 * forward, pixels * c * 28 + 12 * params, 130 * stages + 90)


_SIZING = Sizing(
    cost=_cost,
    scale=1.8,
    choices={
        "channels": (8, 12, 16, 24, 32, 48),
        "stages": (2, 3, 4),
        "batch": (4, 8, 16, 32),
        "resolution": (32, 48, 64),
        "fc_units": (64, 128, 256, 512),
        "learning_rate": (1e-4, 3e-4, 1e-3),
        "drop": (0.3, 0.5),
    },
    steps=(9, 52),
    growth=(("batch", 2, 128), ("channels", 2, 64), ("resolution", 2, 128)),
)


FAMILY = Family(
    name="vgg_classifier",
    summary="A plain stack of convolutions and pooling with a wide classifier; convolutions and large layers.",
    imports="import random\n\nimport torch\nfrom torch import nn",
    definitions='''\
def conv_stage(inputs, outputs):
    """Two convolutions, then half the resolution."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(outputs, outputs, kernel_size=3, padding=1),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )


class VGG(nn.Module):
    """Convolutional stages of growing width and a classifier with dropout."""

    def __init__(self, channels, stages, resolution, fc_units, classes, drop):
        super().__init__()
        widths = [3] + [channels * 2**i for i in range(stages)]
        self.features = nn.Sequential(*[conv_stage(a, b) for a, b in zip(widths[:-1], widths[1:])])
        side = resolution // 2**stages
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(widths[-1] * side * side, fc_units),
            nn.ReLU(),
            nn.Dropout(drop),
            nn.Linear(fc_units, fc_units),
            nn.ReLU(),
            nn.Dropout(drop),
            nn.Linear(fc_units, classes),
        )
        self.apply(self.initialize)

    @staticmethod
    def initialize(module):
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.zeros_(module.bias)

    def forward(self, x):
        return self.classifier(self.features(x))


def augment(images):
    """Flip and shift every image of the batch in the same way."""
    if random.random() < 0.5:
        images = images.flip(3)
    return images.roll(random.randint(-2, 2), dims=2)


def accuracy(logits, labels):
    return (logits.argmax(dim=1) == labels).float().mean()
''',
    setup="""\
# The whole data set stays on the device.
S.data = torch.rand(6 * H.batch, 3, H.resolution, H.resolution, device=device)
S.labels = torch.randint(0, 10, (6 * H.batch,), device=device)
S.model = VGG(H.channels, H.stages, H.resolution, H.fc_units, 10, H.drop).to(device)
S.optimizer = torch.optim.Adam(S.model.parameters(), lr=H.learning_rate)
S.criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
""",
    step="""\
first = (step % 6) * H.batch
images = augment(S.data[first : first + H.batch])
target = S.labels[first : first + H.batch]
logits = S.model(images)
loss = S.criterion(logits, target)
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
""",
    report="""\
S.model.eval()
with torch.no_grad():
    correct = accuracy(S.model(S.data[: H.batch]), S.labels[: H.batch])
summary = correct.item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

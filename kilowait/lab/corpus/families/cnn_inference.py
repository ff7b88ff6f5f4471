"""A separable convolutional network answers batches of requests; inference only, memory-bound."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes


def _cost(h: Hyperparameters) -> Cost:
    c, n, b, r, e = sizes(h, "base", "units", "batch_size", "side", "expansion")
    pixels = b * r * r / 4
    stage = pixels * (4 * e * c * c + 18 * e * c)
    return Cost(pixels * 54 * c + n * stage * 2.5, pixels * c * (10 + n * 16 * e * 1.75), 40 * n + 30)


_SIZING = Sizing(
    cost=_cost,
    scale=1.05,
    choices={
        "base": (8, 12, 16, 24, 32),
        "units": (1, 2, 3),
        "batch_size": (1, 4, 8, 16, 32),
        "side": (48, 64, 96, 128),
        "expansion": (2, 3, 4, 6),
        "threshold": (0.2, 0.3, 0.5),
    },
    steps=(6, 36),
    growth=(("batch_size", 4, 256), ("side", 2, 256), ("base", 2, 64)),
)


FAMILY = Family(
    name="cnn_inference",
    summary="A separable convolutional network answers batches of requests; inference only, memory-bound.",
    imports="import torch\nfrom torch import nn",
    definitions='''\
class InvertedResidual(nn.Module):
    """Widen, filter each channel on its own, narrow again."""

    def __init__(self, inputs, outputs, stride, expansion):
        super().__init__()
        inner = inputs * expansion
        self.keeps_shape = stride == 1 and inputs == outputs
        self.layers = nn.Sequential(
            nn.Conv2d(inputs, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(inplace=True),
            nn.Conv2d(inner, inner, 3, stride=stride, padding=1, groups=inner, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU6(inplace=True),
            nn.Conv2d(inner, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        return x + self.layers(x) if self.keeps_shape else self.layers(x)


class MobileNet(nn.Module):
    def __init__(self, base, units, expansion, classes):
        super().__init__()
        layers = [nn.Conv2d(3, base, 3, stride=2, padding=1), nn.ReLU6(inplace=True)]
        inputs = base
        for outputs in (base, 2 * base, 4 * base):
            for unit in range(units):
                stride = 2 if unit == 0 and outputs > base else 1
                layers.append(InvertedResidual(inputs, outputs, stride, expansion))
                inputs = outputs
        self.features = nn.Sequential(*layers)
        self.head = nn.Linear(inputs, classes)

    def forward(self, images):
        return self.head(self.features(images).mean(dim=(2, 3)))


class RequestStream:
    """Batches of images as they would arrive from clients; bytes are scaled to zero mean."""

    def __init__(self, batch_size, side, device):
        shape = (4, batch_size, 3, side, side)
        self.pool = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)

    def batch(self, index):
        return self.pool[index % 4].float().div(127.5).sub(1.0)


def confident_share(probabilities, threshold):
    return (probabilities.amax(dim=1) > threshold).float().mean()
''',
    setup="""\
S.model = MobileNet(H.base, H.units, H.expansion, 1000).to(device).eval()
S.stream = RequestStream(H.batch_size, H.side, device)
S.votes = torch.zeros(1000, device=device)
S.confident = torch.zeros((), device=device)
""",
    step="""\
with torch.no_grad():
    images = S.stream.batch(step)
    probabilities = S.model(images).softmax(dim=1)
    S.votes += probabilities.sum(dim=0)
    S.confident += confident_share(probabilities, H.threshold)
    loss = -probabilities.amax(dim=1).log().mean()
""",
    report="""\
favourite = S.votes.argmax().item()
print("most likely class overall:", favourite)
summary = (S.confident / H.steps).item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

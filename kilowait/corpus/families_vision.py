"""Image classifiers: residual, plain, attention and mixing networks in training, a separable one that only infers.

Limits covered: convolutions of all sizes (ResNet, VGG), large matrix products (ViT, mixer), forward-only batches of
memory-bound depthwise convolutions.
"""

from kilowait.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _resnet_cost(h: Hyperparameters) -> Cost:
    c, n, b, r = sizes(h, "width", "blocks_per_stage", "batch_size", "image_size")
    pixels = b * r * r
    forward = pixels * (54 * c + sum(36 * n * c * c for _ in range(3)))
    return Cost(3 * forward, pixels * c * 30 * n * 1.75 + 12 * 21 * 18 * n * c * c, 330 * n + 60)


_RESNET_SIZING = Sizing(
    cost=_resnet_cost,
    scale=1.8,
    choices={
        "width": (8, 12, 16, 24, 32),
        "blocks_per_stage": (1, 2, 3),
        "batch_size": (8, 16, 24, 32, 64),
        "image_size": (16, 24, 32, 40),
        "num_classes": (10, 20, 100),
        "lr": (0.01, 0.05, 0.1),
    },
    steps=(3, 40),
    growth=(("batch_size", 2, 256), ("width", 2, 64), ("image_size", 2, 64)),
)

_RESNET = Family(
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
    draw=_RESNET_SIZING.draw,
    enlarge=_RESNET_SIZING.enlarge,
    seconds=_RESNET_SIZING.seconds,
)


def _vgg_cost(h: Hyperparameters) -> Cost:
    c, stages, b, r, fc = sizes(h, "channels", "stages", "batch", "resolution", "fc_units")
    pixels, flat = b * r * r, c * 2 ** (stages - 1) * (r / 2**stages) ** 2
    dense = flat * fc + fc * fc
    forward = pixels * (54 * c + 18 * c * c + 27 * c * c * (stages - 1)) + 2 * b * dense
    params = dense + 18 * c * c * 4 ** (stages - 1)
    return Cost(3 * forward, pixels * c * 28 + 12 * params, 130 * stages + 90)


_VGG_SIZING = Sizing(
    cost=_vgg_cost,
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
    steps=(3, 40),
    growth=(("batch", 2, 128), ("channels", 2, 64), ("resolution", 2, 128)),
)

_VGG = Family(
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
    draw=_VGG_SIZING.draw,
    enlarge=_VGG_SIZING.enlarge,
    seconds=_VGG_SIZING.seconds,
)


def _vit_cost(h: Hyperparameters) -> Cost:
    d, depth, b, r, p = sizes(h, "dim", "depth", "batch_size", "image", "patch")
    t = (r / p) ** 2 + 1
    params = depth * 12 * d * d + 3 * p * p * d
    return Cost(
        6 * b * t * params + 12 * depth * b * t * t * d,
        b * t * d * depth * 40 + depth * b * t * t * 8 + 14 * params,
        230 * depth + 120,
    )


_VIT_SIZING = Sizing(
    cost=_vit_cost,
    scale=1.25,
    choices={
        "dim": (48, 64, 96, 128, 192),
        "depth": (2, 3, 4, 6),
        "heads": (2, 4),
        "batch_size": (4, 8, 16, 32),
        "image": (32, 48, 64),
        "patch": (4, 8),
        "lr": (1e-4, 3e-4, 1e-3),
        "weight_decay": (0.01, 0.05, 0.1),
    },
    steps=(3, 40),
    growth=(("batch_size", 2, 128), ("dim", 2, 768), ("depth", 2, 12)),
)

_VIT = Family(
    name="vision_transformer",
    summary="A vision transformer classifies patches of an image; large matrix products.",
    imports=_IMPORTS,
    definitions='''\
class PatchEmbedding(nn.Module):
    """Cuts an image into patches and projects each to a vector."""

    def __init__(self, patch, dim):
        super().__init__()
        self.project = nn.Conv2d(3, dim, kernel_size=patch, stride=patch)

    def forward(self, images):
        return self.project(images).flatten(2).transpose(1, 2)


class EncoderBlock(nn.Module):
    def __init__(self, dim, heads, expand=4):
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, expand * dim), nn.GELU(), nn.Linear(expand * dim, dim))

    def forward(self, x):
        n, t, c = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, t, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(n, t, c)
        x = x + self.proj(mixed)
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches, a class token, learned positions and a stack of encoder blocks."""

    def __init__(self, image, patch, dim, depth, heads, classes):
        super().__init__()
        self.patches = PatchEmbedding(patch, dim)
        self.token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position = nn.Parameter(0.02 * torch.randn(1, (image // patch) ** 2 + 1, dim))
        self.blocks = nn.Sequential(*[EncoderBlock(dim, heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, images):
        x = self.patches(images)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.position
        return self.head(self.norm(self.blocks(x))[:, 0])
''',
    setup="""\
S.images = torch.randn(4 * H.batch_size, 3, H.image, H.image, device=device)
S.labels = torch.randint(0, 10, (4 * H.batch_size,), device=device)
S.model = VisionTransformer(H.image, H.patch, H.dim, H.depth, H.heads, 10).to(device)
S.optimizer = torch.optim.AdamW(S.model.parameters(), lr=H.lr, weight_decay=H.weight_decay)
""",
    step="""\
picked = torch.randperm(S.images.shape[0], device=device)[: H.batch_size]
logits = S.model(S.images[picked])
loss = F.cross_entropy(logits, S.labels[picked], label_smoothing=0.1)
S.optimizer.zero_grad(set_to_none=True)
loss.backward()
S.optimizer.step()
""",
    report="""\
with torch.no_grad():
    logits = S.model(S.images[: H.batch_size])
    summary = (logits.argmax(dim=1) == S.labels[: H.batch_size]).float().mean().item()
""",
    draw=_VIT_SIZING.draw,
    enlarge=_VIT_SIZING.enlarge,
    seconds=_VIT_SIZING.seconds,
)


def _mixer_cost(h: Hyperparameters) -> Cost:
    c, t, depth, b, e = sizes(h, "hidden", "patches", "layers", "batch_size", "expand")
    per_layer = 4 * b * t * c * (t / 2 + e * c)
    return Cost(
        3 * (depth * per_layer + 2 * b * t * 48 * c),
        depth * (b * t * c * (30 + 10 * e) + 24 * e * c * c),
        180 * depth + 90,
    )


_MIXER_SIZING = Sizing(
    cost=_mixer_cost,
    scale=1.2,
    choices={
        "hidden": (64, 96, 128, 192, 256),
        "patches": (16, 36, 64, 100),
        "layers": (1, 2, 3, 4, 6),
        "batch_size": (8, 16, 32),
        "expand": (2, 3, 4),
        "lr": (3e-4, 5e-4, 1e-3),
        "ema_decay": (0.9, 0.99, 0.999),
    },
    steps=(3, 40),
    growth=(("batch_size", 2, 128), ("hidden", 2, 768), ("layers", 2, 12), ("patches", 2, 196)),
)

_MIXER = Family(
    name="mlp_mixer",
    summary="An all-MLP image model that mixes patches and channels, with averaged weights; matrix products.",
    imports="import copy\n\n" + _IMPORTS,
    definitions='''\
class FeedForward(nn.Module):
    def __init__(self, size, inner):
        super().__init__()
        self.fc1 = nn.Linear(size, inner)
        self.fc2 = nn.Linear(inner, size)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class MixerLayer(nn.Module):
    """First across patches, then across channels, each with a residual path."""

    def __init__(self, patches, hidden, expand):
        super().__init__()
        self.norm_tokens = nn.LayerNorm(hidden)
        self.tokens = FeedForward(patches, patches // 2)
        self.norm_channels = nn.LayerNorm(hidden)
        self.channels = FeedForward(hidden, expand * hidden)

    def forward(self, x):
        y = self.norm_tokens(x).transpose(1, 2)
        x = x + self.tokens(y).transpose(1, 2)
        return x + self.channels(self.norm_channels(x))


class Mixer(nn.Module):
    """The network takes images that are already cut into flat patches."""

    def __init__(self, patches, patch_values, hidden, layers, expand, classes):
        super().__init__()
        self.embed = nn.Linear(patch_values, hidden)
        self.layers = nn.ModuleList([MixerLayer(patches, hidden, expand) for _ in range(layers)])
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x):
        x = self.embed(x)
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(dim=1))


@torch.no_grad()
def update_average(average, model, decay):
    """Move the averaged weights a little towards the current ones."""
    for slow, fast in zip(average.parameters(), model.parameters()):
        slow.lerp_(fast, 1.0 - decay)
''',
    setup="""\
S.model = Mixer(H.patches, 48, H.hidden, H.layers, H.expand, 100).to(device)
S.average = copy.deepcopy(S.model).requires_grad_(False)
S.optimizer = torch.optim.AdamW(S.model.parameters(), lr=H.lr)
S.inputs = torch.randn(3 * H.batch_size, H.patches, 48, device=device)
S.targets = torch.randint(0, 100, (3 * H.batch_size,), device=device)
""",
    step="""\
chunk = slice((step % 3) * H.batch_size, (step % 3 + 1) * H.batch_size)
S.optimizer.zero_grad()
loss = F.cross_entropy(S.model(S.inputs[chunk]), S.targets[chunk])
loss.backward()
S.optimizer.step()
update_average(S.average, S.model, H.ema_decay)
""",
    report="""\
with torch.no_grad():
    logits = S.average(S.inputs[: H.batch_size])
summary = F.cross_entropy(logits, S.targets[: H.batch_size]).item()
""",
    draw=_MIXER_SIZING.draw,
    enlarge=_MIXER_SIZING.enlarge,
    seconds=_MIXER_SIZING.seconds,
)


def _mobile_cost(h: Hyperparameters) -> Cost:
    c, n, b, r, e = sizes(h, "base", "units", "batch_size", "side", "expansion")
    pixels = b * r * r / 4
    stage = pixels * (4 * e * c * c + 18 * e * c)
    return Cost(pixels * 54 * c + n * stage * 2.5, pixels * c * (10 + n * 16 * e * 1.75), 40 * n + 30)


_MOBILE_SIZING = Sizing(
    cost=_mobile_cost,
    scale=1.05,
    choices={
        "base": (8, 12, 16, 24, 32),
        "units": (1, 2, 3),
        "batch_size": (1, 4, 8, 16, 32),
        "side": (48, 64, 96, 128),
        "expansion": (2, 3, 4, 6),
        "threshold": (0.2, 0.3, 0.5),
    },
    steps=(4, 120),
    growth=(("batch_size", 4, 256), ("side", 2, 256), ("base", 2, 64)),
)

_MOBILE = Family(
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
    draw=_MOBILE_SIZING.draw,
    enlarge=_MOBILE_SIZING.enlarge,
    seconds=_MOBILE_SIZING.seconds,
)


FAMILIES: tuple[Family, ...] = (_RESNET, _VGG, _VIT, _MIXER, _MOBILE)
"""The image classifiers in the order in which the corpus lists them."""

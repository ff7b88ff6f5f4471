"""Two views of an image are drawn together and all others apart; convolutions and all-pairs products."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    c, p, b, r = sizes(h, "width", "projection_dim", "pairs", "crop")
    pixels = 2 * b * r * r
    forward = pixels * (54 * c + 9 * c * c + 9 * c * c) + 4 * b * (32 * c * c + 8 * c * p) + 8 * b * b * p
    return Cost(3 * forward, pixels * c * 36 + 60 * b * b + 14 * 100 * c * c, 330)


_SIZING = Sizing(
    cost=_cost,
    scale=1.35,
    choices={
        "width": (8, 12, 16, 24, 32),
        "projection_dim": (32, 64, 128),
        "pairs": (8, 16, 32, 64, 128),
        "crop": (16, 20, 24, 32),
        "temperature": (0.1, 0.2, 0.5),
        "lr": (0.01, 0.03, 0.1),
    },
    steps=(17, 100),
    growth=(("pairs", 2, 512), ("width", 2, 64), ("crop", 2, 64)),
)


FAMILY = Family(
    name="contrastive_pairs",
    summary="Two views of an image are drawn together and all others apart; convolutions and all-pairs products.",
    imports="import random\n\n" + _IMPORTS,
    definitions='''\
class ViewMaker:
    """Random crop, flip, brightness and noise; the same crop for a whole batch."""

    def __init__(self, crop):
        self.crop = crop

    def __call__(self, images):
        space = images.shape[-1] - self.crop + 1
        top, left = random.randrange(space), random.randrange(space)
        view = images[:, :, top : top + self.crop, left : left + self.crop]
        if random.random() < 0.5:
            view = view.flip(3)
        light = 0.8 + 0.4 * torch.rand(view.shape[0], 1, 1, 1, device=view.device)
        return view * light + 0.05 * torch.randn_like(view)


class Backbone(nn.Module):
    """A short convolutional encoder: three stages, then the mean over space."""

    def __init__(self, width):
        super().__init__()
        layers, inputs = [], 3
        for stage in range(3):
            outputs = width * 2**stage
            layers += [
                nn.Conv2d(inputs, outputs, 3, stride=1 if stage == 0 else 2, padding=1, bias=False),
                nn.BatchNorm2d(outputs),
                nn.ReLU(inplace=True),
            ]
            inputs = outputs
        self.layers = nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(x).mean(dim=(2, 3))


class ContrastiveModel(nn.Module):
    def __init__(self, width, projection_dim):
        super().__init__()
        self.backbone = Backbone(width)
        self.project = nn.Sequential(
            nn.Linear(4 * width, 4 * width), nn.ReLU(), nn.Linear(4 * width, projection_dim)
        )

    def forward(self, x):
        return F.normalize(self.project(self.backbone(x)), dim=1)


def nt_xent(first, second, temperature):
    """Cross entropy in which the other view of the same image is the right answer."""
    n = first.shape[0]
    both = torch.cat([first, second])
    similarity = both @ both.t() / temperature
    own = torch.eye(2 * n, dtype=torch.bool, device=both.device)
    similarity = similarity.masked_fill(own, -1e9)
    answers = torch.cat([torch.arange(n, 2 * n), torch.arange(n)]).to(both.device)
    return F.cross_entropy(similarity, answers)
''',
    setup="""\
S.images = torch.rand(3 * H.pairs, 3, H.crop + 4, H.crop + 4, device=device)
S.views = ViewMaker(H.crop)
S.model = ContrastiveModel(H.width, H.projection_dim).to(device)
S.optimizer = torch.optim.SGD(S.model.parameters(), lr=H.lr, momentum=0.9, weight_decay=1e-4)
""",
    step="""\
picked = torch.randperm(S.images.shape[0], device=device)[: H.pairs]
originals = S.images[picked]
S.optimizer.zero_grad()
# One pass for both views.
codes = S.model(torch.cat([S.views(originals), S.views(originals)]))
loss = nt_xent(codes[: H.pairs], codes[H.pairs :], H.temperature)
loss.backward()
S.optimizer.step()
""",
    report="""\
with torch.no_grad():
    kept = S.images[: H.pairs]
    alignment = (S.model(S.views(kept)) * S.model(S.views(kept))).sum(dim=1).mean()
summary = alignment.item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

"""A batch-normalised MLP on a table of numbers; thin products and many optimiser steps."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F"


def _cost(h: Hyperparameters) -> Cost:
    c, w, depth, b = sizes(h, "n_features", "width", "depth", "batch_size")
    params = c * w + (depth - 1) * w * w + w
    return Cost(6 * b * params, 36 * b * w * depth + 14 * params + 4 * b * c, 190 * depth + 120)


_SIZING = Sizing(
    cost=_cost,
    scale=0.8,
    launches_s=80.0,
    choices={
        "n_features": (10, 20, 40, 80, 160),
        "width": (32, 64, 128, 256, 384, 512),
        "depth": (2, 3, 4, 5, 6),
        "batch_size": (32, 64, 128, 256, 512, 1024),
        "n_rows": (2000, 5000, 10000, 20000),
        "dropout": (0.0, 0.1, 0.25),
        "max_lr": (0.002, 0.005, 0.01),
    },
    steps=(14, 85),
    growth=(("batch_size", 4, 16384), ("width", 2, 4096), ("n_features", 2, 512), ("n_rows", 4, 100000)),
)


FAMILY = Family(
    name="tabular_regression",
    summary="A batch-normalised MLP on a table of numbers; thin products and many optimiser steps.",
    imports=_IMPORTS,
    definitions='''\
def friedman(rows, features, device):
    """A nonlinear target of the first five columns; the other columns are noise."""
    x = torch.rand(rows, features, device=device)
    y = 10 * torch.sin(torch.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2
    y = y + 10 * x[:, 3] + 5 * x[:, 4] + torch.randn(rows, device=device)
    return x, y.unsqueeze(1)


class Standardizer:
    """Zero mean and unit variance, by the statistics of the training rows."""

    def __init__(self, values):
        self.mean = values.mean(dim=0)
        self.std = values.std(dim=0) + 1e-6

    def __call__(self, values):
        return (values - self.mean) / self.std


def hidden_block(before, after, dropout):
    return nn.Sequential(
        nn.Linear(before, after), nn.BatchNorm1d(after), nn.LeakyReLU(0.1), nn.Dropout(dropout)
    )


class Regressor(nn.Module):
    def __init__(self, n_features, width, depth, dropout):
        super().__init__()
        blocks = [hidden_block(n_features, width, dropout)]
        blocks += [hidden_block(width, width, dropout) for _ in range(depth - 1)]
        self.blocks = nn.Sequential(*blocks)
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        return self.out(self.blocks(x))


def r_squared(prediction, truth):
    residual = (truth - prediction).square().sum()
    return 1 - residual / (truth - truth.mean()).square().sum()
''',
    setup="""\
S.raw_x, S.raw_y = friedman(H.n_rows, H.n_features, device)
S.held_out = H.n_rows // 10
S.scale_x = Standardizer(S.raw_x[S.held_out :])
S.scale_y = Standardizer(S.raw_y[S.held_out :])
S.x, S.y = S.scale_x(S.raw_x), S.scale_y(S.raw_y)
S.net = Regressor(H.n_features, H.width, H.depth, H.dropout).to(device)
S.opt = torch.optim.AdamW(S.net.parameters(), lr=H.max_lr / 10, weight_decay=0.01)
S.schedule = torch.optim.lr_scheduler.OneCycleLR(S.opt, max_lr=H.max_lr, total_steps=H.steps + 1)
""",
    step="""\
rows = torch.randint(S.held_out, H.n_rows, (H.batch_size,), device=device)
loss = F.mse_loss(S.net(S.x[rows]), S.y[rows])
S.opt.zero_grad(set_to_none=True)
loss.backward()
S.opt.step()
S.schedule.step()
""",
    report="""\
S.net.eval()
with torch.no_grad():
    guess = S.net(S.x[: S.held_out])
summary = r_squared(guess, S.y[: S.held_out]).item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

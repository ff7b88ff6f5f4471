"""Click prediction over embedding bags with pairwise interactions; bound by memory, counted in elements."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F"


def _cost(h: Hyperparameters) -> Cost:
    n, rows, d, b, w, hot = sizes(h, "tables", "rows", "embed_dim", "batch_size", "mlp_width", "lookups")
    pairs = (n + 1) * n / 2
    flops = 6 * b * (13 * w + w * d + (d + pairs) * w + w * w + w) + 6 * b * (n + 1) ** 2 * d
    return Cost(flops, n * (6 * rows * d + 4 * b * hot * d) + 20 * b * w, 40 * n + 260, 7 * n * rows * d)


_SIZING = Sizing(
    cost=_cost,
    scale=1.5,
    choices={
        "tables": (3, 4, 6, 8, 12, 16),
        "rows": (1000, 5000, 10000, 30000),
        "embed_dim": (8, 16, 32, 64),
        "lookups": (1, 4, 10),
        "batch_size": (32, 64, 128, 256, 512),
        "mlp_width": (32, 64, 128, 256),
        "lr": (0.01, 0.02, 0.05),
    },
    steps=(16, 98),
    growth=(("rows", 4, 500000), ("batch_size", 4, 16384), ("embed_dim", 2, 128), ("tables", 2, 16)),
    moves_data=True,
)


FAMILY = Family(
    name="recommender",
    summary="Click prediction over embedding bags with pairwise interactions; bound by memory, counted in elements.",
    imports=_IMPORTS,
    definitions='''\
def mlp(sizes, last_activation=True):
    layers = []
    for before, after in zip(sizes[:-1], sizes[1:]):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*(layers if last_activation else layers[:-1]))


class ClickModel(nn.Module):
    """Dense features and embedding bags meet in all pairwise dot products, then an MLP decides."""

    def __init__(self, tables, rows, embed_dim, dense_features, mlp_width):
        super().__init__()
        self.bags = nn.ModuleList([nn.EmbeddingBag(rows, embed_dim, mode="sum") for _ in range(tables)])
        for bag in self.bags:
            nn.init.uniform_(bag.weight, -0.05, 0.05)
        self.bottom = mlp([dense_features, mlp_width, embed_dim])
        pairs = (tables + 1) * tables // 2
        self.top = mlp([embed_dim + pairs, mlp_width, mlp_width, 1], last_activation=False)
        upper = torch.triu_indices(tables + 1, tables + 1, offset=1)
        self.register_buffer("first", upper[0])
        self.register_buffer("second", upper[1])

    def forward(self, dense, categories):
        """`dense` is (batch, features), `categories` (tables, batch, lookups)."""
        bottom = self.bottom(dense)
        vectors = [bottom] + [bag(ids) for bag, ids in zip(self.bags, categories)]
        stacked = torch.stack(vectors, dim=1)
        products = torch.bmm(stacked, stacked.transpose(1, 2))
        interactions = products[:, self.first, self.second]
        return self.top(torch.cat([bottom, interactions], dim=1)).squeeze(1)


def sample_clicks(batch_size, tables, rows, lookups, device):
    """Popular rows are asked for more often, as in real traffic."""
    dense = torch.randn(batch_size, 13, device=device)
    skew = torch.rand(tables, batch_size, lookups, device=device) ** 3
    categories = (skew * rows).long().clamp(max=rows - 1)
    clicked = (dense[:, 0] + 0.5 * torch.randn(batch_size, device=device) > 0).float()
    return dense, categories, clicked
''',
    setup="""\
S.model = ClickModel(H.tables, H.rows, H.embed_dim, 13, H.mlp_width).to(device)
S.optimizer = torch.optim.Adagrad(S.model.parameters(), lr=H.lr)
S.loss_fn = nn.BCEWithLogitsLoss()
S.track = []
""",
    step="""\
dense, categories, clicked = sample_clicks(H.batch_size, H.tables, H.rows, H.lookups, device)
S.optimizer.zero_grad()
logits = S.model(dense, categories)
loss = S.loss_fn(logits, clicked)
loss.backward()
S.optimizer.step()
S.track.append(loss.item())
""",
    report="""\
window = S.track[-10:]
summary = sum(window) / len(window)
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

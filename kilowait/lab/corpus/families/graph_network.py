"""Mean-aggregating message passing over a random graph; work counted in elements moved along edges."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F"


def _cost(h: Hyperparameters) -> Cost:
    n, k, w, depth, c = sizes(h, "num_nodes", "avg_degree", "hidden_dim", "num_layers", "num_features")
    edges = n * k
    flops = 6 * n * 2 * w * (c + (depth - 1) * w) + 6 * n * w * 10
    return Cost(flops, 3.5 * edges * (c + (depth - 1) * w) + 14 * n * w * depth, 130 * depth + 120)


_SIZING = Sizing(
    cost=_cost,
    scale=1.6,
    choices={
        "num_nodes": (300, 600, 1000, 2000, 4000, 8000),
        "avg_degree": (4, 8, 12, 20, 30),
        "num_features": (16, 32, 64),
        "hidden_dim": (16, 32, 48, 64, 96, 128),
        "num_layers": (2, 3, 4),
        "lr": (5e-3, 1e-2),
    },
    steps=(12, 71),
    growth=(("num_nodes", 4, 131072), ("hidden_dim", 2, 256), ("num_layers", 2, 6)),
    moves_data=True,
)


FAMILY = Family(
    name="graph_network",
    summary="Mean-aggregating message passing over a random graph; work counted in elements moved along edges.",
    imports=_IMPORTS,
    definitions='''\
class MessageLayer(nn.Module):
    """h_i' = W_self h_i + W_near mean of h_j over the edges (j, i)."""

    def __init__(self, dim_in, dim_out):
        super().__init__()
        self.own = nn.Linear(dim_in, dim_out)
        self.near = nn.Linear(dim_in, dim_out, bias=False)

    def forward(self, h, senders, receivers, inverse_degree):
        messages = h[senders]
        gathered = torch.zeros_like(h).index_add(0, receivers, messages)
        return self.own(h) + self.near(gathered * inverse_degree)


class GraphNetwork(nn.Module):
    def __init__(self, num_features, hidden_dim, num_layers, num_classes):
        super().__init__()
        dims = [num_features] + [hidden_dim] * num_layers
        self.layers = nn.ModuleList([MessageLayer(a, b) for a, b in zip(dims[:-1], dims[1:])])
        self.norms = nn.ModuleList([nn.LayerNorm(hidden_dim) for _ in range(num_layers)])
        self.head = nn.Linear(hidden_dim, num_classes)

    def forward(self, h, senders, receivers, inverse_degree):
        for layer, norm in zip(self.layers, self.norms):
            h = F.relu(norm(layer(h, senders, receivers, inverse_degree)))
        return self.head(h)


def random_graph(num_nodes, avg_degree, device):
    """Directed edges drawn uniformly, with a loop at every node."""
    loops = torch.arange(num_nodes, device=device)
    senders = torch.randint(0, num_nodes, (num_nodes * avg_degree,), device=device)
    receivers = torch.randint(0, num_nodes, (num_nodes * avg_degree,), device=device)
    return torch.cat([senders, loops]), torch.cat([receivers, loops])


def in_degree(receivers, num_nodes):
    ones = torch.ones(receivers.shape[0], device=receivers.device)
    return torch.zeros(num_nodes, device=receivers.device).index_add(0, receivers, ones)
''',
    setup="""\
S.senders, S.receivers = random_graph(H.num_nodes, H.avg_degree, device)
S.inverse_degree = (1.0 / in_degree(S.receivers, H.num_nodes)).unsqueeze(1)
S.features = torch.randn(H.num_nodes, H.num_features, device=device)
S.targets = torch.randint(0, 10, (H.num_nodes,), device=device)
S.train_mask = (torch.rand(H.num_nodes, device=device) < 0.6).float()
S.model = GraphNetwork(H.num_features, H.hidden_dim, H.num_layers, 10).to(device)
S.optimizer = torch.optim.Adam(S.model.parameters(), lr=H.lr, weight_decay=5e-4)
""",
    step="""\
S.optimizer.zero_grad()
logits = S.model(S.features, S.senders, S.receivers, S.inverse_degree)
per_node = F.cross_entropy(logits, S.targets, reduction="none")
loss = (per_node * S.train_mask).sum() / S.train_mask.sum()
loss.backward()
S.optimizer.step()
""",
    report="""\
with torch.no_grad():
    guesses = S.model(S.features, S.senders, S.receivers, S.inverse_degree).argmax(dim=1)
correct = (guesses == S.targets).float() * (1 - S.train_mask)
summary = (correct.sum() / (1 - S.train_mask).sum()).item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

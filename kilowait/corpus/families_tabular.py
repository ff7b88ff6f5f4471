"""Programs on tables, graphs, simulators and equations.

Limits covered: embedding tables swept by a dense optimiser (recommender), gathers and scatters (graph, word
vectors), tiny operators in a simulator's loop (policy gradient), a solver's serial stages (neural ODE), gradients of
gradients (physics-informed), thin products in many steps (regression) and exponentials without gradients (mixture).
"""

from kilowait.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F"


def _graph_cost(h: Hyperparameters) -> Cost:
    n, k, w, depth, c = sizes(h, "num_nodes", "avg_degree", "hidden_dim", "num_layers", "num_features")
    edges = n * k
    flops = 6 * n * 2 * w * (c + (depth - 1) * w) + 6 * n * w * 10
    return Cost(flops, 3.5 * edges * (c + (depth - 1) * w) + 14 * n * w * depth, 130 * depth + 120)


_GRAPH_SIZING = Sizing(
    cost=_graph_cost,
    scale=1.6,
    choices={
        "num_nodes": (300, 600, 1000, 2000, 4000, 8000),
        "avg_degree": (4, 8, 12, 20, 30),
        "num_features": (16, 32, 64),
        "hidden_dim": (16, 32, 48, 64, 96, 128),
        "num_layers": (2, 3, 4),
        "lr": (5e-3, 1e-2),
    },
    steps=(4, 80),
    growth=(("num_nodes", 4, 131072), ("hidden_dim", 2, 256), ("num_layers", 2, 6)),
    moves_data=True,
)

_GRAPH = Family(
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
    setup='''\
S.senders, S.receivers = random_graph(H.num_nodes, H.avg_degree, device)
S.inverse_degree = (1.0 / in_degree(S.receivers, H.num_nodes)).unsqueeze(1)
S.features = torch.randn(H.num_nodes, H.num_features, device=device)
S.targets = torch.randint(0, 10, (H.num_nodes,), device=device)
S.train_mask = (torch.rand(H.num_nodes, device=device) < 0.6).float()
S.model = GraphNetwork(H.num_features, H.hidden_dim, H.num_layers, 10).to(device)
S.optimizer = torch.optim.Adam(S.model.parameters(), lr=H.lr, weight_decay=5e-4)
''',
    step='''\
S.optimizer.zero_grad()
logits = S.model(S.features, S.senders, S.receivers, S.inverse_degree)
per_node = F.cross_entropy(logits, S.targets, reduction="none")
loss = (per_node * S.train_mask).sum() / S.train_mask.sum()
loss.backward()
S.optimizer.step()
''',
    report='''\
with torch.no_grad():
    guesses = S.model(S.features, S.senders, S.receivers, S.inverse_degree).argmax(dim=1)
correct = (guesses == S.targets).float() * (1 - S.train_mask)
summary = (correct.sum() / (1 - S.train_mask).sum()).item()
''',
    draw=_GRAPH_SIZING.draw,
    enlarge=_GRAPH_SIZING.enlarge,
    seconds=_GRAPH_SIZING.seconds,
)


def _recommender_cost(h: Hyperparameters) -> Cost:
    n, rows, d, b, w, hot = sizes(h, "tables", "rows", "embed_dim", "batch_size", "mlp_width", "lookups")
    pairs = (n + 1) * n / 2
    flops = 6 * b * (13 * w + w * d + (d + pairs) * w + w * w + w) + 6 * b * (n + 1) ** 2 * d
    return Cost(flops, n * (6 * rows * d + 4 * b * hot * d) + 20 * b * w, 40 * n + 260, 7 * n * rows * d)


_RECOMMENDER_SIZING = Sizing(
    cost=_recommender_cost,
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
    steps=(4, 80),
    growth=(("rows", 4, 500000), ("batch_size", 4, 16384), ("embed_dim", 2, 128), ("tables", 2, 16)),
    moves_data=True,
)

_RECOMMENDER = Family(
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
    setup='''\
S.model = ClickModel(H.tables, H.rows, H.embed_dim, 13, H.mlp_width).to(device)
S.optimizer = torch.optim.Adagrad(S.model.parameters(), lr=H.lr)
S.loss_fn = nn.BCEWithLogitsLoss()
S.track = []
''',
    step='''\
dense, categories, clicked = sample_clicks(H.batch_size, H.tables, H.rows, H.lookups, device)
S.optimizer.zero_grad()
logits = S.model(dense, categories)
loss = S.loss_fn(logits, clicked)
loss.backward()
S.optimizer.step()
S.track.append(loss.item())
''',
    report='''\
window = S.track[-10:]
summary = sum(window) / len(window)
''',
    draw=_RECOMMENDER_SIZING.draw,
    enlarge=_RECOMMENDER_SIZING.enlarge,
    seconds=_RECOMMENDER_SIZING.seconds,
)


def _vectors_cost(h: Hyperparameters) -> Cost:
    d, b, k, v, inner = sizes(h, "dimensions", "pairs", "negatives", "vocabulary", "updates")
    return Cost(0, inner * (b * d * (16 + 12 * k) + 30 * b * k + 2 * v), inner * 40)


_VECTORS_SIZING = Sizing(
    cost=_vectors_cost,
    scale=0.9,
    choices={
        "vocabulary": (2000, 5000, 10000, 30000),
        "dimensions": (32, 50, 64, 100, 128, 200),
        "pairs": (64, 128, 256, 512, 1024),
        "negatives": (3, 5, 10, 15),
        "updates": (2, 4, 8, 16),
        "alpha": (0.01, 0.025, 0.05),
    },
    steps=(3, 60),
    growth=(("pairs", 4, 262144), ("vocabulary", 2, 500000), ("dimensions", 2, 512), ("updates", 2, 16)),
    moves_data=True,
)

_VECTORS = Family(
    name="word_vectors",
    summary="Skip-gram with negative sampling, gradients written by hand; gathers and scatters, counted in elements.",
    imports="import torch",
    definitions='''\
def noise_distribution(vocabulary, device):
    """Word frequencies by Zipf's law, flattened to the power 0.75."""
    ranks = torch.arange(1, vocabulary + 1, device=device, dtype=torch.float32)
    weights = ranks.reciprocal().pow(0.75)
    return weights / weights.sum()


def draw_words(noise_cdf, shape, device):
    """Sample words by inverting the cumulative distribution."""
    uniform = torch.rand(shape, device=device)
    return torch.searchsorted(noise_cdf, uniform).clamp(max=noise_cdf.shape[0] - 1)


def context_of(words, vocabulary, window):
    """Synthetic co-occurrence: the context lies a few ranks away from the word."""
    shift = torch.randint(1, window + 1, words.shape, device=words.device)
    return (words + shift) % vocabulary


class SkipGram:
    """Two tables of vectors updated in place, without automatic differentiation."""

    def __init__(self, vocabulary, dimensions, device):
        self.center = (torch.rand(vocabulary, dimensions, device=device) - 0.5) / dimensions
        self.context = torch.zeros(vocabulary, dimensions, device=device)

    def update(self, words, positives, negatives, alpha):
        """One step of gradient descent on a batch of pairs; returns the mean loss."""
        choices = torch.cat([positives.unsqueeze(1), negatives], dim=1)
        v = self.center[words]
        u = self.context[choices]
        scores = (u * v.unsqueeze(1)).sum(dim=2)
        wanted = torch.zeros_like(scores)
        wanted[:, 0] = 1.0
        error = torch.sigmoid(scores) - wanted
        grad_v = (error.unsqueeze(2) * u).sum(dim=1)
        grad_u = error.unsqueeze(2) * v.unsqueeze(1)
        self.center.index_add_(0, words, grad_v, alpha=-alpha)
        self.context.index_add_(0, choices.reshape(-1), grad_u.reshape(-1, v.shape[1]), alpha=-alpha)
        likelihood = torch.sigmoid(torch.where(wanted > 0, scores, -scores))
        return -likelihood.clamp(min=1e-7).log().sum(dim=1).mean()


def cosine(table, a, b):
    left, right = table[a], table[b]
    return (left * right).sum(dim=1) / (left.norm(dim=1) * right.norm(dim=1) + 1e-9)
''',
    setup='''\
S.noise_cdf = noise_distribution(H.vocabulary, device).cumsum(dim=0)
S.vectors = SkipGram(H.vocabulary, H.dimensions, device)
S.losses = []
''',
    step='''\
total = torch.zeros((), device=device)
for update in range(H.updates):
    words = draw_words(S.noise_cdf, (H.pairs,), device)
    near = context_of(words, H.vocabulary, 5)
    far = draw_words(S.noise_cdf, (H.pairs, H.negatives), device)
    decay = 1.0 - 0.9 * step / H.steps
    total += S.vectors.update(words, near, far, H.alpha * decay)
loss = total / H.updates
S.losses.append(loss)
''',
    report='''\
anchors = torch.arange(100, device=device)
print("similarity of neighbours:", cosine(S.vectors.center, anchors, anchors + 1).mean().item())
summary = torch.stack(S.losses)[-5:].mean().item()
''',
    draw=_VECTORS_SIZING.draw,
    enlarge=_VECTORS_SIZING.enlarge,
    seconds=_VECTORS_SIZING.seconds,
)


def _policy_cost(h: Hyperparameters) -> Cost:
    n, t, w = sizes(h, "num_envs", "horizon", "hidden")
    return Cost(6 * n * t * (w * w + 7 * w), n * t * (90 + 20 * w), 270 * t + 250)


_POLICY_SIZING = Sizing(
    cost=_policy_cost,
    scale=1.05,
    choices={
        "num_envs": (4, 8, 16, 32, 64, 128, 256),
        "horizon": (16, 25, 32, 50, 75, 100),
        "hidden": (16, 32, 64, 128),
        "gamma": (0.95, 0.98, 0.99),
        "entropy_bonus": (0.0, 0.01),
        "lr": (1e-3, 3e-3, 1e-2),
    },
    steps=(4, 80),
    growth=(("num_envs", 4, 65536), ("hidden", 2, 512), ("horizon", 2, 200)),
)

_POLICY = Family(
    name="policy_gradient",
    summary="REINFORCE with a baseline on simulated cart-poles that run side by side; tiny operators in a serial loop.",
    imports=_IMPORTS,
    definitions='''\
class CartPoles:
    """Many cart-poles at once; a fallen pole starts again, so every episode has the same length."""

    def __init__(self, num_envs, device):
        self.num_envs = num_envs
        self.device = device

    def reset(self):
        return 0.1 * (torch.rand(self.num_envs, 4, device=self.device) - 0.5)

    def step(self, state, action):
        """`state` is (envs, 4): position, speed, angle, angular speed; returns the next and the reward."""
        position, speed, angle, spin = state.unbind(dim=1)
        force = 20.0 * action.float() - 10.0
        sin, cos = torch.sin(angle), torch.cos(angle)
        push = (force + 0.05 * spin.square() * sin) / 1.1
        spin_rate = (9.8 * sin - cos * push) / (0.5 * (4.0 / 3.0 - 0.1 * cos.square() / 1.1))
        acceleration = push - 0.05 * spin_rate * cos / 1.1
        moved = torch.stack(
            [
                position + 0.02 * speed,
                speed + 0.02 * acceleration,
                angle + 0.02 * spin,
                spin + 0.02 * spin_rate,
            ],
            dim=1,
        )
        fallen = (moved[:, 2].abs() > 0.21) | (moved[:, 0].abs() > 2.4)
        return torch.where(fallen.unsqueeze(1), self.reset(), moved), (~fallen).float()


class ActorCritic(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh())
        self.policy = nn.Linear(hidden, 2)
        self.value = nn.Linear(hidden, 1)

    def forward(self, state):
        features = self.body(state)
        return F.log_softmax(self.policy(features), dim=1), self.value(features).squeeze(1)


def discounted(rewards, gamma):
    """Returns-to-go of a list of (envs,) rewards, as (time, envs)."""
    running = torch.zeros_like(rewards[0])
    returns = []
    for reward in reversed(rewards):
        running = reward + gamma * running
        returns.append(running)
    return torch.stack(returns[::-1])
''',
    setup='''\
S.env = CartPoles(H.num_envs, device)
S.agent = ActorCritic(H.hidden).to(device)
S.optimizer = torch.optim.Adam(S.agent.parameters(), lr=H.lr)
S.scores = []
''',
    step='''\
observation = S.env.reset()
chosen, values, rewards, entropies = [], [], [], []
for t in range(H.horizon):
    log_probs, value = S.agent(observation)
    action = torch.multinomial(log_probs.detach().exp(), 1)
    chosen.append(log_probs.gather(1, action).squeeze(1))
    entropies.append(-(log_probs.exp() * log_probs).sum(dim=1))
    values.append(value)
    observation, reward = S.env.step(observation, action.squeeze(1))
    rewards.append(reward)
returns = discounted(rewards, H.gamma)
baseline = torch.stack(values)
advantage = returns - baseline.detach()
loss = -(torch.stack(chosen) * advantage).mean() + 0.5 * F.mse_loss(baseline, returns)
loss = loss - H.entropy_bonus * torch.stack(entropies).mean()
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
S.scores.append(torch.stack(rewards).mean().item())
''',
    report='''\
summary = sum(S.scores) / len(S.scores)
''',
    draw=_POLICY_SIZING.draw,
    enlarge=_POLICY_SIZING.enlarge,
    seconds=_POLICY_SIZING.seconds,
)


def _regression_cost(h: Hyperparameters) -> Cost:
    c, w, depth, b = sizes(h, "n_features", "width", "depth", "batch_size")
    params = c * w + (depth - 1) * w * w + w
    return Cost(6 * b * params, 36 * b * w * depth + 14 * params + 4 * b * c, 190 * depth + 120)


_REGRESSION_SIZING = Sizing(
    cost=_regression_cost,
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
    steps=(20, 300),
    growth=(("batch_size", 4, 16384), ("width", 2, 4096), ("n_features", 2, 512), ("n_rows", 4, 100000)),
)

_REGRESSION = Family(
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
    setup='''\
S.raw_x, S.raw_y = friedman(H.n_rows, H.n_features, device)
S.held_out = H.n_rows // 10
S.scale_x = Standardizer(S.raw_x[S.held_out :])
S.scale_y = Standardizer(S.raw_y[S.held_out :])
S.x, S.y = S.scale_x(S.raw_x), S.scale_y(S.raw_y)
S.net = Regressor(H.n_features, H.width, H.depth, H.dropout).to(device)
S.opt = torch.optim.AdamW(S.net.parameters(), lr=H.max_lr / 10, weight_decay=0.01)
S.schedule = torch.optim.lr_scheduler.OneCycleLR(S.opt, max_lr=H.max_lr, total_steps=H.steps + 1)
''',
    step='''\
rows = torch.randint(S.held_out, H.n_rows, (H.batch_size,), device=device)
loss = F.mse_loss(S.net(S.x[rows]), S.y[rows])
S.opt.zero_grad(set_to_none=True)
loss.backward()
S.opt.step()
S.schedule.step()
''',
    report='''\
S.net.eval()
with torch.no_grad():
    guess = S.net(S.x[: S.held_out])
summary = r_squared(guess, S.y[: S.held_out]).item()
''',
    draw=_REGRESSION_SIZING.draw,
    enlarge=_REGRESSION_SIZING.enlarge,
    seconds=_REGRESSION_SIZING.seconds,
)


def _ode_cost(h: Hyperparameters) -> Cost:
    n, d, w, k = sizes(h, "trajectories", "state_dim", "field_width", "solver_steps")
    return Cost(6 * n * 4 * k * (2 * d * w + w * w), n * 4 * k * (14 * w + 16 * d), 4 * k * 62 + 250)


_ODE_SIZING = Sizing(
    cost=_ode_cost,
    scale=1.35,
    launches_s=20.0,
    choices={
        "trajectories": (8, 16, 32, 64, 128, 256),
        "state_dim": (2, 4, 8, 16),
        "field_width": (16, 32, 64, 128, 192),
        "solver_steps": (5, 8, 10, 16, 20, 30, 40),
        "horizon": (0.5, 1.0, 2.0),
        "lr": (1e-3, 3e-3, 5e-3),
    },
    steps=(4, 100),
    growth=(("trajectories", 4, 16384), ("field_width", 2, 1024), ("state_dim", 2, 64), ("solver_steps", 2, 80)),
)

_ODE = Family(
    name="neural_ode",
    summary="A vector field fitted through a fixed-step Runge-Kutta solver; small products in dependent stages.",
    imports=_IMPORTS,
    definitions='''\
class VectorField(nn.Module):
    """dy/dt = f(y): three layers with smooth activations."""

    def __init__(self, state_dim, field_width):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(state_dim, field_width),
            nn.Softplus(),
            nn.Linear(field_width, field_width),
            nn.Tanh(),
            nn.Linear(field_width, state_dim),
        )

    def forward(self, y):
        return self.net(y)


class Spiral(nn.Module):
    """The true dynamics: every pair of coordinates turns and shrinks."""

    def __init__(self, state_dim):
        super().__init__()
        turn = torch.zeros(state_dim, state_dim)
        for i in range(0, state_dim - 1, 2):
            turn[i, i + 1] = 2.0
            turn[i + 1, i] = -2.0
        self.register_buffer("matrix", turn - 0.2 * torch.eye(state_dim))

    def forward(self, y):
        return y @ self.matrix.t()


def rk4_step(field, y, dt):
    k1 = field(y)
    k2 = field(y + 0.5 * dt * k1)
    k3 = field(y + 0.5 * dt * k2)
    k4 = field(y + dt * k3)
    return y + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)


def integrate(field, y, horizon, solver_steps):
    """The whole trajectory as (time, batch, state), the start included."""
    path = [y]
    for _ in range(solver_steps):
        y = rk4_step(field, y, horizon / solver_steps)
        path.append(y)
    return torch.stack(path)
''',
    setup='''\
S.truth = Spiral(H.state_dim).to(device)
S.field = VectorField(H.state_dim, H.field_width).to(device)
S.optimizer = torch.optim.RMSprop(S.field.parameters(), lr=H.lr)
S.ema = []
''',
    step='''\
start = 2.0 * torch.randn(H.trajectories, H.state_dim, device=device)
with torch.no_grad():
    observed = integrate(S.truth, start, H.horizon, H.solver_steps)
    observed = observed + 0.01 * torch.randn_like(observed)
predicted = integrate(S.field, start, H.horizon, H.solver_steps)
loss = (predicted - observed).abs().mean()
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
S.ema.append(loss.item() if not S.ema else 0.9 * S.ema[-1] + 0.1 * loss.item())
''',
    report='''\
evaluations = 8 * H.steps * H.solver_steps
print("field evaluations:", evaluations)
summary = S.ema[-1]
''',
    draw=_ODE_SIZING.draw,
    enlarge=_ODE_SIZING.enlarge,
    seconds=_ODE_SIZING.seconds,
)


def _physics_cost(h: Hyperparameters) -> Cost:
    n, e, w, depth = sizes(h, "collocation", "boundary", "neurons", "hidden_layers")
    params = depth * w * w + 3 * w
    return Cost((26 * n + 6 * e) * params, depth * w * (70 * n + 14 * e) + 14 * params, 420 * depth + 400)


_PHYSICS_SIZING = Sizing(
    cost=_physics_cost,
    scale=0.85,
    choices={
        "collocation": (100, 200, 500, 1000, 2000, 4000),
        "boundary": (50, 100, 200),
        "neurons": (16, 20, 32, 50, 64, 100),
        "hidden_layers": (2, 3, 4, 5, 6),
        "viscosity": (0.01, 0.02, 0.05),
        "lr": (1e-3, 2e-3, 5e-3),
    },
    steps=(5, 100),
    growth=(("collocation", 4, 65536), ("neurons", 2, 512), ("hidden_layers", 2, 8), ("boundary", 2, 1000)),
)

_PHYSICS = Family(
    name="physics_informed",
    summary="Burgers' equation solved with second derivatives in the loss; long elementwise chains.",
    imports="import math\nimport torch\nfrom torch import nn",
    definitions='''\
class Solution(nn.Module):
    """u(x, t) as a deep tanh network."""

    def __init__(self, neurons, hidden_layers):
        super().__init__()
        self.enter = nn.Linear(2, neurons)
        self.hidden = nn.ModuleList([nn.Linear(neurons, neurons) for _ in range(hidden_layers)])
        self.leave = nn.Linear(neurons, 1)
        for linear in [self.enter, *self.hidden, self.leave]:
            nn.init.xavier_normal_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x, t):
        h = torch.tanh(self.enter(torch.cat([x, t], dim=1)))
        for linear in self.hidden:
            h = torch.tanh(linear(h))
        return self.leave(h)


def derivative(output, variable):
    """d output / d variable for every point, kept in the graph."""
    (slope,) = torch.autograd.grad(output, variable, torch.ones_like(output), create_graph=True)
    return slope


def residual(model, x, t, viscosity):
    """u_t + u u_x - nu u_xx, which is zero for a solution of Burgers' equation."""
    u = model(x, t)
    u_x = derivative(u, x)
    u_t = derivative(u, t)
    u_xx = derivative(u_x, x)
    return u_t + u * u_x - viscosity * u_xx


def sample_interior(count, device):
    x = 2 * torch.rand(count, 1, device=device) - 1
    t = torch.rand(count, 1, device=device)
    return x.requires_grad_(), t.requires_grad_()


def sample_initial(count, device):
    """At t = 0 the velocity is a sine."""
    x = 2 * torch.rand(count, 1, device=device) - 1
    return x, torch.zeros_like(x), -torch.sin(math.pi * x)


def sample_walls(count, device):
    side = torch.randint(0, 2, (count, 1), device=device) * 2.0 - 1.0
    t = torch.rand(count, 1, device=device)
    return side, t
''',
    setup='''\
S.u = Solution(H.neurons, H.hidden_layers).to(device)
S.optimizer = torch.optim.Adam(S.u.parameters(), lr=H.lr)
S.residuals = []
''',
    step='''\
x, t = sample_interior(H.collocation, device)
equation = residual(S.u, x, t, H.viscosity).square().mean()
x0, t0, u0 = sample_initial(H.boundary, device)
initial = (S.u(x0, t0) - u0).square().mean()
wall_x, wall_t = sample_walls(H.boundary, device)
walls = S.u(wall_x, wall_t).square().mean()
loss = equation + 10.0 * initial + walls
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
S.residuals.append(equation.item())
''',
    report='''\
tail = S.residuals[-10:]
summary = sum(tail) / len(tail)
''',
    draw=_PHYSICS_SIZING.draw,
    enlarge=_PHYSICS_SIZING.enlarge,
    seconds=_PHYSICS_SIZING.seconds,
)


def _mixture_cost(h: Hyperparameters) -> Cost:
    n, d, k = sizes(h, "points", "dim", "components")
    return Cost(8 * n * d * k, n * k * 30 + 4 * n * d, 60)


_MIXTURE_SIZING = Sizing(
    cost=_mixture_cost,
    scale=1.0,
    launches_s=100.0,
    choices={
        "points": (2000, 5000, 10000, 20000, 50000),
        "dim": (2, 4, 8, 16, 32, 64),
        "components": (4, 8, 16, 24, 32, 64),
        "floor": (1e-3, 1e-2),
        "spread": (2.0, 4.0, 8.0),
    },
    steps=(4, 80),
    growth=(("points", 4, 2000000), ("components", 2, 256), ("dim", 2, 128)),
)

_MIXTURE = Family(
    name="gaussian_mixture",
    summary="Expectation-maximisation for diagonal Gaussians: tall thin products and exponentials, no gradients.",
    imports="import math\nimport torch",
    definitions='''\
def make_blobs(points, dim, components, spread, device):
    """Points around hidden centres; what the mixture should find again."""
    centres = spread * torch.randn(components, dim, device=device)
    member = torch.randint(0, components, (points,), device=device)
    return centres[member] + torch.randn(points, dim, device=device)


class DiagonalMixture:
    """Weights, means and variances of Gaussians with diagonal covariance, updated in place."""

    def __init__(self, data, components, floor):
        start = torch.randint(0, data.shape[0], (components,), device=data.device)
        self.floor = floor
        self.log_weight = torch.full((components,), -math.log(components), device=data.device)
        self.mean = data[start].clone()
        self.variance = data.var(dim=0).repeat(components, 1)

    def log_joint(self, data, squares):
        """log p(x, k) for every point and component, by three products instead of a difference."""
        precision = self.variance.reciprocal()
        distance = squares @ precision.t() - 2 * data @ (self.mean * precision).t()
        distance = distance + (self.mean.square() * precision).sum(dim=1)
        log_det = self.variance.log().sum(dim=1) + data.shape[1] * math.log(2 * math.pi)
        return self.log_weight - 0.5 * (distance + log_det)

    def expectation(self, data, squares):
        joint = self.log_joint(data, squares)
        evidence = torch.logsumexp(joint, dim=1, keepdim=True)
        return (joint - evidence).clamp(min=-30.0).exp(), evidence.mean()

    def maximization(self, data, squares, responsibility):
        mass = responsibility.sum(dim=0).clamp(min=1e-6).unsqueeze(1)
        mean = responsibility.t() @ data / mass
        second = responsibility.t() @ squares / mass
        self.mean.copy_(mean)
        self.variance.copy_((second - mean.square()).clamp(min=self.floor))
        self.log_weight.copy_((mass.squeeze(1) / data.shape[0]).log())


def hard_sizes(responsibility):
    """How many points each component would win."""
    winner = responsibility.argmax(dim=1)
    ones = torch.ones_like(winner)
    return torch.zeros(responsibility.shape[1], dtype=torch.long, device=winner.device).index_add(0, winner, ones)
''',
    setup='''\
S.data = make_blobs(H.points, H.dim, H.components, H.spread, device)
S.squares = S.data.square()
S.mixture = DiagonalMixture(S.data, H.components, H.floor)
S.evidence = torch.zeros(H.steps, device=device)
''',
    step='''\
responsibility, average = S.mixture.expectation(S.data, S.squares)
S.mixture.maximization(S.data, S.squares, responsibility)
S.evidence[step] = average
loss = -average
''',
    report='''\
final, _ = S.mixture.expectation(S.data, S.squares)
print("largest component:", hard_sizes(final).max().item())
summary = S.evidence[-1].item()
''',
    draw=_MIXTURE_SIZING.draw,
    enlarge=_MIXTURE_SIZING.enlarge,
    seconds=_MIXTURE_SIZING.seconds,
)

FAMILIES: tuple[Family, ...] = (
    _GRAPH,
    _RECOMMENDER,
    _VECTORS,
    _POLICY,
    _REGRESSION,
    _ODE,
    _PHYSICS,
    _MIXTURE,
)
"""The families on tables, graphs, simulators and equations, in the order in which the corpus lists them."""

"""Burgers' equation solved with second derivatives in the loss; long elementwise chains."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes


def _cost(h: Hyperparameters) -> Cost:
    n, e, w, depth = sizes(h, "collocation", "boundary", "neurons", "hidden_layers")
    params = depth * w * w + 3 * w
    return Cost((26 * n + 6 * e) * params, depth * w * (70 * n + 14 * e) + 14 * params, 420 * depth + 400)


_SIZING = Sizing(
    cost=_cost,
    scale=0.85,
    choices={
        "collocation": (100, 200, 500, 1000, 2000, 4000),
        "boundary": (50, 100, 200),
        "neurons": (16, 20, 32, 50, 64, 100),
        "hidden_layers": (2, 3, 4, 5, 6),
        "viscosity": (0.01, 0.02, 0.05),
        "lr": (1e-3, 2e-3, 5e-3),
    },
    steps=(21, 120),
    growth=(("collocation", 4, 65536), ("neurons", 2, 512), ("hidden_layers", 2, 8), ("boundary", 2, 1000)),
)


FAMILY = Family(
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
    setup="""\
S.u = Solution(H.neurons, H.hidden_layers).to(device)
S.optimizer = torch.optim.Adam(S.u.parameters(), lr=H.lr)
S.residuals = []
""",
    step="""\
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
""",
    report="""\
tail = S.residuals[-10:]
summary = sum(tail) / len(tail)
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

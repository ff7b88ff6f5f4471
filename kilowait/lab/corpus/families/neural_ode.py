"""A vector field fitted through a fixed-step Runge-Kutta solver; small products in dependent stages."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F"


def _cost(h: Hyperparameters) -> Cost:
    n, d, w, k = sizes(h, "trajectories", "state_dim", "field_width", "solver_steps")
    return Cost(6 * n * 4 * k * (2 * d * w + w * w), n * 4 * k * (14 * w + 16 * d), 4 * k * 62 + 250)


_SIZING = Sizing(
    cost=_cost,
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
    steps=(13, 76),
    growth=(("trajectories", 4, 16384), ("field_width", 2, 1024), ("state_dim", 2, 64), ("solver_steps", 2, 80)),
)


FAMILY = Family(
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
    setup="""\
S.truth = Spiral(H.state_dim).to(device)
S.field = VectorField(H.state_dim, H.field_width).to(device)
S.optimizer = torch.optim.RMSprop(S.field.parameters(), lr=H.lr)
S.ema = []
""",
    step="""\
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
""",
    report="""\
evaluations = 8 * H.steps * H.solver_steps
print("field evaluations:", evaluations)
summary = S.ema[-1]
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

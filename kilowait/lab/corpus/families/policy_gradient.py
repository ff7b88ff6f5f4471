"""REINFORCE with a baseline on simulated cart-poles that run side by side; tiny operators in a serial loop."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F"


def _cost(h: Hyperparameters) -> Cost:
    n, t, w = sizes(h, "num_envs", "horizon", "hidden")
    return Cost(6 * n * t * (w * w + 7 * w), n * t * (90 + 20 * w), 270 * t + 250)


_SIZING = Sizing(
    cost=_cost,
    scale=1.05,
    choices={
        "num_envs": (4, 8, 16, 32, 64, 128, 256),
        "horizon": (16, 25, 32, 50, 75, 100),
        "hidden": (16, 32, 64, 128),
        "gamma": (0.95, 0.98, 0.99),
        "entropy_bonus": (0.0, 0.01),
        "lr": (1e-3, 3e-3, 1e-2),
    },
    steps=(9, 56),
    growth=(("num_envs", 4, 65536), ("hidden", 2, 512), ("horizon", 2, 200)),
)


FAMILY = Family(
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
    setup="""\
S.env = CartPoles(H.num_envs, device)
S.agent = ActorCritic(H.hidden).to(device)
S.optimizer = torch.optim.Adam(S.agent.parameters(), lr=H.lr)
S.scores = []
""",
    step="""\
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
""",
    report="""\
summary = sum(S.scores) / len(S.scores)
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

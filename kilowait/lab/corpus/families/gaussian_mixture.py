"""Expectation-maximisation for diagonal Gaussians: tall thin products and exponentials, no gradients."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes


def _cost(h: Hyperparameters) -> Cost:
    n, d, k = sizes(h, "points", "dim", "components")
    return Cost(8 * n * d * k, n * k * 30 + 4 * n * d, 60)


_SIZING = Sizing(
    cost=_cost,
    scale=1.0,
    launches_s=100.0,
    choices={
        "points": (2000, 5000, 10000, 20000, 50000),
        "dim": (2, 4, 8, 16, 32, 64),
        "components": (4, 8, 16, 24, 32, 64),
        "floor": (1e-3, 1e-2),
        "spread": (2.0, 4.0, 8.0),
    },
    steps=(16, 93),
    growth=(("points", 4, 2000000), ("components", 2, 256), ("dim", 2, 128)),
)


FAMILY = Family(
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
    setup="""\
S.data = make_blobs(H.points, H.dim, H.components, H.spread, device)
S.squares = S.data.square()
S.mixture = DiagonalMixture(S.data, H.components, H.floor)
S.evidence = torch.zeros(H.steps, device=device)
""",
    step="""\
responsibility, average = S.mixture.expectation(S.data, S.squares)
S.mixture.maximization(S.data, S.squares, responsibility)
S.evidence[step] = average
loss = -average
""",
    report="""\
final, _ = S.mixture.expectation(S.data, S.squares)
print("largest component:", hard_sizes(final).max().item())
summary = S.evidence[-1].item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

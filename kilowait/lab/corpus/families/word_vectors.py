"""Skip-gram with negative sampling, gradients written by hand; gathers and scatters, counted in elements."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes


def _cost(h: Hyperparameters) -> Cost:
    d, b, k, v, inner = sizes(h, "dimensions", "pairs", "negatives", "vocabulary", "updates")
    return Cost(0, inner * (b * d * (16 + 12 * k) + 30 * b * k + 2 * v), inner * 40)


_SIZING = Sizing(
    cost=_cost,
    scale=0.9,
    choices={
        "vocabulary": (2000, 5000, 10000, 30000),
        "dimensions": (32, 50, 64, 100, 128, 200),
        "pairs": (64, 128, 256, 512, 1024),
        "negatives": (3, 5, 10, 15),
        "updates": (2, 4, 8, 16),
        "alpha": (0.01, 0.025, 0.05),
    },
    steps=(14, 87),
    growth=(("pairs", 4, 262144), ("vocabulary", 2, 500000), ("dimensions", 2, 512), ("updates", 2, 16)),
    moves_data=True,
)


FAMILY = Family(
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
    setup="""\
S.noise_cdf = noise_distribution(H.vocabulary, device).cumsum(dim=0)
S.vectors = SkipGram(H.vocabulary, H.dimensions, device)
S.losses = []
""",
    step="""\
total = torch.zeros((), device=device)
for update in range(H.updates):
    words = draw_words(S.noise_cdf, (H.pairs,), device)
    near = context_of(words, H.vocabulary, 5)
    far = draw_words(S.noise_cdf, (H.pairs, H.negatives), device)
    decay = 1.0 - 0.9 * step / H.steps
    total += S.vectors.update(words, near, far, H.alpha * decay)
loss = total / H.updates
S.losses.append(loss)
""",
    report="""\
anchors = torch.arange(100, device=device)
print("similarity of neighbours:", cosine(S.vectors.center, anchors, anchors + 1).mean().item())
summary = torch.stack(S.losses)[-5:].mean().item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

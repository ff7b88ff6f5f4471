"""Sparse expert layers in which each expert picks its tokens; gathers and scatters around batched products."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn.functional as F\nfrom torch import nn"


def _cost(h: Hyperparameters) -> Cost:
    d, f, e, depth, b, t, k = sizes(h, "width", "expert_width", "experts", "layers", "batch", "length", "choices")
    n = b * t
    flops = 3 * 2 * n * depth * (k * 2 * d * f + d * e) + 6 * n * d * 256
    weights = depth * e * 2 * d * f
    return Cost(flops, depth * n * (k * (8 * f + 12 * d) + 100 * d + 12 * e) + 12 * weights, 260 * depth + 150)


_SIZING = Sizing(
    cost=_cost,
    scale=0.85,
    choices={
        "width": (48, 64, 96, 128, 192),
        "expert_width": (64, 128, 192, 256, 384),
        "experts": (4, 6, 8, 16),
        "choices": (1, 2),
        "layers": (1, 2, 3, 4),
        "batch": (4, 8, 16, 32),
        "length": (32, 64, 96, 128),
        "lr": (3e-4, 1e-3, 2e-3),
    },
    steps=(22, 130),
    growth=(("batch", 2, 256), ("expert_width", 2, 4096), ("width", 2, 1024), ("experts", 2, 32), ("layers", 2, 8)),
)


FAMILY = Family(
    name="mixture_of_experts",
    summary="Sparse expert layers in which each expert picks its tokens; gathers and scatters around batched products.",
    imports=_IMPORTS,
    definitions='''\
class ExpertLayer(nn.Module):
    """Every expert takes the tokens that score highest for it, the same number for each."""

    def __init__(self, width, hidden, experts, choices):
        super().__init__()
        self.choices = choices
        self.router = nn.Linear(width, experts, bias=False)
        self.w_in = nn.Parameter(torch.randn(experts, width, hidden) * width**-0.5)
        self.w_out = nn.Parameter(torch.randn(experts, hidden, width) * hidden**-0.5)

    def forward(self, x):
        tokens = x.reshape(-1, x.shape[-1])
        affinity = self.router(tokens).softmax(dim=-1)
        capacity = max(1, tokens.shape[0] * self.choices // affinity.shape[1])
        gate, picked = affinity.t().topk(capacity, dim=1)
        hidden = F.gelu(torch.bmm(tokens[picked], self.w_in))
        answer = torch.bmm(hidden, self.w_out) * gate.unsqueeze(-1)
        mixed = torch.zeros_like(tokens)
        mixed = mixed.index_add(0, picked.reshape(-1), answer.reshape(-1, answer.shape[-1]))
        return mixed.view_as(x)


class SparseBlock(nn.Module):
    def __init__(self, width, hidden, experts, choices):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mixer = nn.Conv1d(width, width, kernel_size=5, padding=4, groups=width)
        self.experts = ExpertLayer(width, hidden, experts, choices)

    def forward(self, x):
        seen = self.mixer(x.transpose(1, 2))[..., : x.shape[1]]
        x = x + seen.transpose(1, 2)
        return x + self.experts(self.norm(x))


class SparseModel(nn.Module):
    def __init__(self, symbols, width, hidden, experts, choices, layers):
        super().__init__()
        self.embed = nn.Embedding(symbols, width)
        self.blocks = nn.Sequential(*[SparseBlock(width, hidden, experts, choices) for _ in range(layers)])
        self.head = nn.Linear(width, symbols)

    def forward(self, ids):
        return self.head(self.blocks(self.embed(ids)))


def copy_task(batch, length, symbols, device):
    """Sequences whose next symbol is the one seen four places before."""
    pattern = torch.randint(0, symbols, (batch, 4), device=device)
    return pattern.repeat(1, length // 4 + 1)[:, : length + 1]
''',
    setup="""\
S.model = SparseModel(256, H.width, H.expert_width, H.experts, H.choices, H.layers).to(device)
S.optimizer = torch.optim.Adam(S.model.parameters(), lr=H.lr)
S.curve = torch.zeros(H.steps, device=device)
""",
    step="""\
sequence = copy_task(H.batch, H.length, 256, device)
scores = S.model(sequence[:, :-1])
loss = F.cross_entropy(scores.flatten(0, 1), sequence[:, 1:].flatten())
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
S.curve[step] = loss.detach()
""",
    report="""\
half = H.steps // 2
print("first half:", S.curve[:half].mean().item())
summary = S.curve[half:].mean().item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

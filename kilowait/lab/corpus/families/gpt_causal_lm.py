"""A pre-norm decoder with tied embeddings trained on a character stream; products and causal attention."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn.functional as F\nfrom torch import nn"


def _cost(h: Hyperparameters) -> Cost:
    d, depth, b, t, v = sizes(h, "n_embd", "n_layer", "batch", "block_size", "vocab")
    n, params = b * t, depth * 12 * d * d + v * d
    return Cost(
        6 * n * params + 12 * depth * b * t * t * d,
        n * (38 * d * depth + 8 * v) + 12 * params,
        280 * depth + 200,
    )


_SIZING = Sizing(
    cost=_cost,
    scale=1.1,
    choices={
        "n_embd": (32, 64, 96, 128, 192, 256),
        "n_head": (2, 4, 8),
        "n_layer": (1, 2, 3, 4, 6, 8),
        "batch": (2, 4, 8, 16),
        "block_size": (32, 64, 96, 128, 192, 256),
        "vocab": (64, 256, 512, 1024),
        "lr": (3e-4, 6e-4, 1e-3),
    },
    steps=(26, 150),
    growth=(("batch", 2, 64), ("n_embd", 2, 1024), ("block_size", 2, 512), ("n_layer", 2, 12)),
)


FAMILY = Family(
    name="gpt_causal_lm",
    summary="A pre-norm decoder with tied embeddings trained on a character stream; products and causal attention.",
    imports="import math\n" + _IMPORTS,
    definitions='''\
class CausalSelfAttention(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.n_head = n_head
        self.qkv = nn.Linear(n_embd, 3 * n_embd, bias=False)
        self.out = nn.Linear(n_embd, n_embd, bias=False)

    def forward(self, x):
        B, T, C = x.shape
        q, k, v = self.qkv(x).view(B, T, 3, self.n_head, C // self.n_head).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(y.transpose(1, 2).reshape(B, T, C))


class Block(nn.Module):
    def __init__(self, n_embd, n_head):
        super().__init__()
        self.ln_1 = nn.LayerNorm(n_embd)
        self.attn = CausalSelfAttention(n_embd, n_head)
        self.ln_2 = nn.LayerNorm(n_embd)
        self.mlp = nn.Sequential(nn.Linear(n_embd, 4 * n_embd), nn.GELU(), nn.Linear(4 * n_embd, n_embd))

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class GPT(nn.Module):
    """A decoder-only language model whose output layer shares the token embedding."""

    def __init__(self, vocab, block_size, n_embd, n_head, n_layer):
        super().__init__()
        self.wte = nn.Embedding(vocab, n_embd)
        self.wpe = nn.Parameter(0.01 * torch.randn(block_size, n_embd))
        self.blocks = nn.ModuleList([Block(n_embd, n_head) for _ in range(n_layer)])
        self.ln_f = nn.LayerNorm(n_embd)
        nn.init.normal_(self.wte.weight, std=0.02)

    def forward(self, idx):
        x = self.wte(idx) + self.wpe[: idx.shape[1]]
        for block in self.blocks:
            x = block(x)
        return self.ln_f(x) @ self.wte.weight.t()


def warmup_cosine(i, total):
    warm = max(1, total // 10)
    if i < warm:
        return (i + 1) / warm
    return 0.1 + 0.45 * (1 + math.cos(math.pi * (i - warm) / max(1, total - warm)))
''',
    setup="""\
S.stream = torch.randint(0, H.vocab, (64 * H.block_size,), device=device)
S.window = torch.arange(H.block_size, device=device)
S.model = GPT(H.vocab, H.block_size, H.n_embd, H.n_head, H.n_layer).to(device)
S.optimizer = torch.optim.AdamW(S.model.parameters(), lr=H.lr, betas=(0.9, 0.95), weight_decay=0.1)
S.losses = []
""",
    step="""\
for group in S.optimizer.param_groups:
    group["lr"] = H.lr * warmup_cosine(step, H.steps)
start = torch.randint(0, len(S.stream) - H.block_size - 1, (H.batch, 1), device=device)
inputs = S.stream[start + S.window]
targets = S.stream[start + S.window + 1]
logits = S.model(inputs)
loss = F.cross_entropy(logits.reshape(-1, H.vocab), targets.reshape(-1))
S.optimizer.zero_grad(set_to_none=True)
loss.backward()
S.optimizer.step()
S.losses.append(loss.detach())
""",
    report="""\
mean_loss = torch.stack(S.losses).mean().item()
summary = math.exp(min(mean_loss, 20.0))
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

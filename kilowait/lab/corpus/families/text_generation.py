"""Autoregressive sampling with a key-value cache: one serial decode loop of small products a batch."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn.functional as F\nfrom torch import nn"


def _cost(h: Hyperparameters) -> Cost:
    d, depth, b, p, new, v = sizes(h, "hidden", "layers", "requests", "prompt_tokens", "new_tokens", "vocab")
    total = p + new
    attention = 4 * depth * b * d * (p * p + new * (p + new / 2))
    flops = 2 * b * total * (12 * depth * d * d) + 2 * b * (new + 1) * v * d + attention
    weights = new * (12 * depth * d * d + v * d)  # each new token reads every weight again
    return Cost(
        flops,
        weights / 4 + depth * new * b * d * (p + new / 2) + b * total * depth * 20 * d + 20 * new * b * v,
        (52 * depth + 40) * (new + 1),
    )


_SIZING = Sizing(
    cost=_cost,
    scale=1.4,
    choices={
        "hidden": (64, 128, 192, 256, 384),
        "heads": (2, 4, 8),
        "layers": (1, 2, 3, 4, 6),
        "requests": (1, 2, 4, 8, 16),
        "prompt_tokens": (8, 16, 32, 64, 128, 256),
        "new_tokens": (8, 16, 32, 48, 64, 96, 128),
        "vocab": (1000, 4000, 8000),
        "temperature": (0.7, 0.8, 1.0),
    },
    steps=(2, 14),
    growth=(("requests", 4, 256), ("hidden", 2, 1024), ("prompt_tokens", 2, 512), ("layers", 2, 12)),
)


FAMILY = Family(
    name="text_generation",
    summary="Autoregressive sampling with a key-value cache: one serial decode loop of small products a batch.",
    imports=_IMPORTS,
    definitions='''\
class CachedBlock(nn.Module):
    def __init__(self, hidden, heads):
        super().__init__()
        self.heads = heads
        self.norm_in = nn.LayerNorm(hidden)
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.out = nn.Linear(hidden, hidden)
        self.norm_mid = nn.LayerNorm(hidden)
        self.up = nn.Linear(hidden, 4 * hidden)
        self.down = nn.Linear(4 * hidden, hidden)

    def forward(self, x, cache, start):
        """Attend over everything seen so far; `cache` is (2, batch, heads, room, head_dim)."""
        n, t, c = x.shape
        qkv = self.qkv(self.norm_in(x)).view(n, t, 3, self.heads, c // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        cache[0, :, :, start : start + t] = k
        cache[1, :, :, start : start + t] = v
        keys, values = cache[0, :, :, : start + t], cache[1, :, :, : start + t]
        y = F.scaled_dot_product_attention(q, keys, values, is_causal=t > 1)
        x = x + self.out(y.transpose(1, 2).reshape(n, t, c))
        return x + self.down(F.silu(self.up(self.norm_mid(x))))


class Decoder(nn.Module):
    def __init__(self, vocab, hidden, heads, layers, room):
        super().__init__()
        self.embed = nn.Embedding(vocab, hidden)
        self.position = nn.Embedding(room, hidden)
        self.blocks = nn.ModuleList([CachedBlock(hidden, heads) for _ in range(layers)])
        self.norm = nn.LayerNorm(hidden)
        self.lm_head = nn.Linear(hidden, vocab, bias=False)

    def forward(self, ids, caches, start):
        place = torch.arange(start, start + ids.shape[1], device=ids.device)
        x = self.embed(ids) + self.position(place)
        for block, cache in zip(self.blocks, caches):
            x = block(x, cache, start)
        return self.lm_head(self.norm(x[:, -1]))


@torch.no_grad()
def generate(model, prompt, caches, new_tokens, temperature):
    """Read the prompt once, then sample one token at a time; always `new_tokens` of them."""
    logits = model(prompt, caches, 0)
    produced = []
    for i in range(new_tokens):
        token = torch.multinomial((logits / temperature).softmax(dim=-1), 1)
        produced.append(token)
        logits = model(token, caches, prompt.shape[1] + i)
    return torch.cat(produced, dim=1), logits
''',
    setup="""\
S.room = H.prompt_tokens + H.new_tokens
S.model = Decoder(H.vocab, H.hidden, H.heads, H.layers, S.room).to(device).eval()
S.caches = torch.zeros(H.layers, 2, H.requests, H.heads, S.room, H.hidden // H.heads, device=device)
S.entropies = []
""",
    step="""\
prompt = torch.randint(0, H.vocab, (H.requests, H.prompt_tokens), device=device)
produced, logits = generate(S.model, prompt, S.caches, H.new_tokens, H.temperature)
log_p = logits.log_softmax(dim=-1)
loss = -(log_p.exp() * log_p).sum(dim=-1).mean()
S.entropies.append(loss.item())
""",
    report="""\
generated = H.steps * H.requests * H.new_tokens
print("generated tokens:", generated)
summary = sum(S.entropies) / len(S.entropies)
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

"""Language programs: encoders, decoders, token-by-token generation and routed experts.

Limits covered: large matrix products (BERT, GPT), forward-only batches (the embedding service), small products in
a long serial loop over a growing cache (generation), gathers around batched products (experts).
"""

from kilowait.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn.functional as F\nfrom torch import nn"


def _bert_cost(h: Hyperparameters) -> Cost:
    names = ("d_model", "num_heads", "num_layers", "batch_size", "seq_len", "vocab_size")
    d, heads, depth, b, t, v = sizes(h, *names)
    n, params = b * t, depth * 12 * d * d + v * d
    return Cost(
        6 * n * (params + d * d) + 12 * depth * b * t * t * d,
        n * (45 * d * depth + 6 * v) + 6 * depth * heads * b * t * t + 12 * (params + v * d),
        260 * depth + 300,
    )


_BERT_SIZING = Sizing(
    cost=_bert_cost,
    scale=1.3,
    choices={
        "d_model": (48, 64, 96, 128, 160, 192, 256),
        "num_heads": (2, 4, 8),
        "num_layers": (1, 2, 3, 4, 6),
        "batch_size": (4, 8, 12, 16, 24),
        "seq_len": (24, 32, 48, 64, 96, 128),
        "vocab_size": (500, 1000, 2000, 4000),
        "mask_rate": (0.15, 0.2, 0.3),
        "learning_rate": (1e-4, 3e-4, 5e-4),
    },
    steps=(4, 60),
    growth=(("batch_size", 2, 128), ("d_model", 2, 1024), ("seq_len", 2, 256), ("num_layers", 2, 12)),
)

_BERT = Family(
    name="bert_masked_lm",
    summary="A transformer encoder trained to restore masked tokens; large matrix products.",
    imports=_IMPORTS,
    definitions='''\
class TokenEmbedding(nn.Module):
    def __init__(self, vocab_size, max_len, width):
        super().__init__()
        self.words = nn.Embedding(vocab_size, width)
        self.places = nn.Embedding(max_len, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, ids):
        position = torch.arange(ids.shape[1], device=ids.device)
        return self.norm(self.words(ids) + self.places(position))


class MaskedLanguageModel(nn.Module):
    """An encoder in the manner of BERT with a two-layer head over the vocabulary."""

    def __init__(self, vocab_size, max_len, width, heads, depth):
        super().__init__()
        self.embed = TokenEmbedding(vocab_size, max_len, width)
        block = nn.TransformerEncoderLayer(
            width, heads, dim_feedforward=4 * width, dropout=0.1, activation="gelu", batch_first=True
        )
        self.encoder = nn.TransformerEncoder(block, depth, enable_nested_tensor=False)
        self.head = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width), nn.Linear(width, vocab_size)
        )

    def forward(self, ids):
        return self.head(self.encoder(self.embed(ids)))


def hide_tokens(ids, mask_id, rate):
    """Replace a share of the tokens by the mask; only those carry a label."""
    hidden = torch.rand(ids.shape, device=ids.device) < rate
    labels = ids.masked_fill(~hidden, -100)
    return ids.masked_fill(hidden, mask_id), labels


def masked_loss(logits, labels):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=-100)
''',
    setup='''\
S.corpus = torch.randint(4, H.vocab_size, (8 * H.batch_size, H.seq_len), device=device)
S.model = MaskedLanguageModel(H.vocab_size, H.seq_len, H.d_model, H.num_heads, H.num_layers).to(device)
S.optimizer = torch.optim.AdamW(S.model.parameters(), lr=H.learning_rate, weight_decay=0.01)
S.loss_record = []
''',
    step='''\
rows = torch.randint(0, S.corpus.shape[0], (H.batch_size,), device=device)
masked, labels = hide_tokens(S.corpus[rows], 3, H.mask_rate)
S.optimizer.zero_grad()
logits = S.model(masked)
loss = masked_loss(logits, labels)
loss.backward()
nn.utils.clip_grad_norm_(S.model.parameters(), 1.0)
S.optimizer.step()
S.loss_record.append(loss.item())
''',
    report='''\
recent = S.loss_record[-5:]
summary = sum(recent) / len(recent)
''',
    draw=_BERT_SIZING.draw,
    enlarge=_BERT_SIZING.enlarge,
    seconds=_BERT_SIZING.seconds,
)


def _gpt_cost(h: Hyperparameters) -> Cost:
    d, depth, b, t, v = sizes(h, "n_embd", "n_layer", "batch", "block_size", "vocab")
    n, params = b * t, depth * 12 * d * d + v * d
    return Cost(
        6 * n * params + 12 * depth * b * t * t * d,
        n * (38 * d * depth + 8 * v) + 12 * params,
        280 * depth + 200,
    )


_GPT_SIZING = Sizing(
    cost=_gpt_cost,
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
    steps=(4, 60),
    growth=(("batch", 2, 64), ("n_embd", 2, 1024), ("block_size", 2, 512), ("n_layer", 2, 12)),
)

_GPT = Family(
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
    setup='''\
S.stream = torch.randint(0, H.vocab, (64 * H.block_size,), device=device)
S.window = torch.arange(H.block_size, device=device)
S.model = GPT(H.vocab, H.block_size, H.n_embd, H.n_head, H.n_layer).to(device)
S.optimizer = torch.optim.AdamW(S.model.parameters(), lr=H.lr, betas=(0.9, 0.95), weight_decay=0.1)
S.losses = []
''',
    step='''\
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
''',
    report='''\
mean_loss = torch.stack(S.losses).mean().item()
summary = math.exp(min(mean_loss, 20.0))
''',
    draw=_GPT_SIZING.draw,
    enlarge=_GPT_SIZING.enlarge,
    seconds=_GPT_SIZING.seconds,
)


def _service_cost(h: Hyperparameters) -> Cost:
    names = ("dim", "heads", "depth", "request_batch", "max_tokens", "mlp_ratio", "index_size")
    d, heads, depth, b, t, m, k = sizes(h, *names)
    n = b * t
    flops = 2 * n * depth * (4 + 2 * m) * d * d + 4 * depth * b * t * t * d + 2 * b * k * d
    return Cost(flops, depth * (n * d * (8 + 4 * m) + 6 * heads * b * t * t) + 2 * b * k, 30 * depth + 40)


_SERVICE_SIZING = Sizing(
    cost=_service_cost,
    scale=1.1,
    choices={
        "dim": (64, 96, 128, 192, 256, 384),
        "heads": (2, 4, 8),
        "depth": (2, 3, 4, 6, 8),
        "mlp_ratio": (2, 3, 4),
        "request_batch": (1, 4, 8, 16, 32),
        "max_tokens": (16, 32, 64, 128),
        "index_size": (1000, 5000, 20000),
        "top_k": (5, 10),
    },
    steps=(5, 150),
    growth=(("request_batch", 4, 512), ("dim", 2, 1024), ("max_tokens", 2, 256), ("depth", 2, 12)),
)

_SERVICE = Family(
    name="embedding_service",
    summary="A text encoder that only infers: batches are embedded and matched against an index, no gradients.",
    imports="import math\n" + _IMPORTS,
    definitions='''\
class Attention(nn.Module):
    """Multi-head attention written out, with padding masked away."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.query = nn.Linear(dim, dim)
        self.key = nn.Linear(dim, dim)
        self.value = nn.Linear(dim, dim)
        self.proj = nn.Linear(dim, dim)

    def split(self, x):
        return x.view(x.shape[0], x.shape[1], self.heads, -1).transpose(1, 2)

    def forward(self, x, padding):
        q, k, v = self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x))
        scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])
        scores = scores.masked_fill(padding[:, None, None, :], -1e9)
        mixed = scores.softmax(dim=-1) @ v
        return self.proj(mixed.transpose(1, 2).flatten(2))


class EncoderLayer(nn.Module):
    def __init__(self, dim, heads, mlp_ratio):
        super().__init__()
        self.attention = Attention(dim, heads)
        self.norm1 = nn.LayerNorm(dim)
        self.norm2 = nn.LayerNorm(dim)
        self.feed = nn.Sequential(nn.Linear(dim, mlp_ratio * dim), nn.ReLU(), nn.Linear(mlp_ratio * dim, dim))

    def forward(self, x, padding):
        x = self.norm1(x + self.attention(x, padding))
        return self.norm2(x + self.feed(x))


class SentenceEncoder(nn.Module):
    def __init__(self, words, dim, heads, depth, mlp_ratio):
        super().__init__()
        self.embed = nn.Embedding(words, dim)
        self.layers = nn.ModuleList([EncoderLayer(dim, heads, mlp_ratio) for _ in range(depth)])

    def forward(self, ids, padding):
        x = self.embed(ids)
        for layer in self.layers:
            x = layer(x, padding)
        kept = (~padding).unsqueeze(-1).float()
        pooled = (x * kept).sum(dim=1) / kept.sum(dim=1)
        return F.normalize(pooled, dim=-1)
''',
    setup='''\
S.encoder = SentenceEncoder(8000, H.dim, H.heads, H.depth, H.mlp_ratio).to(device).eval()
S.index = F.normalize(torch.randn(H.index_size, H.dim, device=device), dim=-1)
S.served = 0
S.best = []
''',
    step='''\
with torch.no_grad():
    requests = torch.randint(0, 8000, (H.request_batch, H.max_tokens), device=device)
    lengths = torch.randint(4, H.max_tokens + 1, (H.request_batch, 1), device=device)
    padded = torch.arange(H.max_tokens, device=device)[None, :] >= lengths
    vectors = S.encoder(requests, padded)
    scores, nearest = (vectors @ S.index.t()).topk(H.top_k, dim=1)
    loss = 1.0 - scores.mean()
S.best.append(scores[:, 0].mean())
''',
    report='''\
similarity = torch.stack(S.best)
summary = similarity.mean().item()
''',
    draw=_SERVICE_SIZING.draw,
    enlarge=_SERVICE_SIZING.enlarge,
    seconds=_SERVICE_SIZING.seconds,
)


def _generation_cost(h: Hyperparameters) -> Cost:
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


_GENERATION_SIZING = Sizing(
    cost=_generation_cost,
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
    steps=(1, 12),
    growth=(("requests", 4, 256), ("hidden", 2, 1024), ("prompt_tokens", 2, 512), ("layers", 2, 12)),
)

_GENERATION = Family(
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
    setup='''\
S.room = H.prompt_tokens + H.new_tokens
S.model = Decoder(H.vocab, H.hidden, H.heads, H.layers, S.room).to(device).eval()
S.caches = torch.zeros(H.layers, 2, H.requests, H.heads, S.room, H.hidden // H.heads, device=device)
S.entropies = []
''',
    step='''\
prompt = torch.randint(0, H.vocab, (H.requests, H.prompt_tokens), device=device)
produced, logits = generate(S.model, prompt, S.caches, H.new_tokens, H.temperature)
log_p = logits.log_softmax(dim=-1)
loss = -(log_p.exp() * log_p).sum(dim=-1).mean()
S.entropies.append(loss.item())
''',
    report='''\
generated = H.steps * H.requests * H.new_tokens
print("generated tokens:", generated)
summary = sum(S.entropies) / len(S.entropies)
''',
    draw=_GENERATION_SIZING.draw,
    enlarge=_GENERATION_SIZING.enlarge,
    seconds=_GENERATION_SIZING.seconds,
)


def _experts_cost(h: Hyperparameters) -> Cost:
    d, f, e, depth, b, t, k = sizes(h, "width", "expert_width", "experts", "layers", "batch", "length", "choices")
    n = b * t
    flops = 3 * 2 * n * depth * (k * 2 * d * f + d * e) + 6 * n * d * 256
    weights = depth * e * 2 * d * f
    return Cost(flops, depth * n * (k * (8 * f + 12 * d) + 100 * d + 12 * e) + 12 * weights, 260 * depth + 150)


_EXPERTS_SIZING = Sizing(
    cost=_experts_cost,
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
    steps=(4, 60),
    growth=(("batch", 2, 256), ("expert_width", 2, 4096), ("width", 2, 1024), ("experts", 2, 32), ("layers", 2, 8)),
)

_EXPERTS = Family(
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
    setup='''\
S.model = SparseModel(256, H.width, H.expert_width, H.experts, H.choices, H.layers).to(device)
S.optimizer = torch.optim.Adam(S.model.parameters(), lr=H.lr)
S.curve = torch.zeros(H.steps, device=device)
''',
    step='''\
sequence = copy_task(H.batch, H.length, 256, device)
scores = S.model(sequence[:, :-1])
loss = F.cross_entropy(scores.flatten(0, 1), sequence[:, 1:].flatten())
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
S.curve[step] = loss.detach()
''',
    report='''\
half = H.steps // 2
print("first half:", S.curve[:half].mean().item())
summary = S.curve[half:].mean().item()
''',
    draw=_EXPERTS_SIZING.draw,
    enlarge=_EXPERTS_SIZING.enlarge,
    seconds=_EXPERTS_SIZING.seconds,
)

FAMILIES: tuple[Family, ...] = (_BERT, _GPT, _SERVICE, _GENERATION, _EXPERTS)
"""The language families in the order in which the corpus lists them."""

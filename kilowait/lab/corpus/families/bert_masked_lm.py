"""A transformer encoder trained to restore masked tokens; large matrix products."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn.functional as F\nfrom torch import nn"


def _cost(h: Hyperparameters) -> Cost:
    names = ("d_model", "num_heads", "num_layers", "batch_size", "seq_len", "vocab_size")
    d, heads, depth, b, t, v = sizes(h, *names)
    n, params = b * t, depth * 12 * d * d + v * d
    return Cost(
        6 * n * (params + d * d) + 12 * depth * b * t * t * d,
        n * (45 * d * depth + 6 * v) + 6 * depth * heads * b * t * t + 12 * (params + v * d),
        260 * depth + 300,
    )


_SIZING = Sizing(
    cost=_cost,
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
    steps=(13, 79),
    growth=(("batch_size", 2, 128), ("d_model", 2, 1024), ("seq_len", 2, 256), ("num_layers", 2, 12)),
)


FAMILY = Family(
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
    setup="""\
S.corpus = torch.randint(4, H.vocab_size, (8 * H.batch_size, H.seq_len), device=device)
S.model = MaskedLanguageModel(H.vocab_size, H.seq_len, H.d_model, H.num_heads, H.num_layers).to(device)
S.optimizer = torch.optim.AdamW(S.model.parameters(), lr=H.learning_rate, weight_decay=0.01)
S.loss_record = []
""",
    step="""\
rows = torch.randint(0, S.corpus.shape[0], (H.batch_size,), device=device)
masked, labels = hide_tokens(S.corpus[rows], 3, H.mask_rate)
S.optimizer.zero_grad()
logits = S.model(masked)
loss = masked_loss(logits, labels)
loss.backward()
nn.utils.clip_grad_norm_(S.model.parameters(), 1.0)
S.optimizer.step()
S.loss_record.append(loss.item())
""",
    report="""\
recent = S.loss_record[-5:]
summary = sum(recent) / len(recent)
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

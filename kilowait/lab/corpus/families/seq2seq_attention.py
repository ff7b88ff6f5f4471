"""A GRU translator with additive attention at every target position; a serial loop."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    d, w, b, s, t, v = sizes(h, "embed", "hidden", "pairs", "source_len", "target_len", "vocab")
    encoder = s * 3 * w * (d + w)
    decoder = t * (3 * w * (d + 2 * w) + 2 * w * w + s * 2 * w + 2 * w * v)
    params = 2 * v * d + 2 * w * v + 3 * w * (2 * d + 4 * w)
    return Cost(
        6 * b * (encoder + decoder),
        b * (t * (14 * s * w + 8 * v) + (s + t) * 50 * w) + 12 * params,
        60 * s + 230 * t + 300,
    )


_SIZING = Sizing(
    cost=_cost,
    scale=1.1,
    choices={
        "embed": (32, 48, 64, 96),
        "hidden": (32, 48, 64, 96, 128, 192),
        "pairs": (2, 4, 8, 16, 32),
        "source_len": (8, 12, 16, 24, 32, 48),
        "target_len": (8, 12, 16, 24, 32),
        "vocab": (200, 500, 1000, 2000),
        "lr": (1e-3, 2e-3),
    },
    steps=(13, 76),
    growth=(("pairs", 4, 512), ("hidden", 2, 768), ("embed", 2, 384), ("source_len", 2, 64)),
)


FAMILY = Family(
    name="seq2seq_attention",
    summary="A GRU translator with additive attention at every target position; a serial loop.",
    imports=_IMPORTS,
    definitions='''\
class SourceEncoder(nn.Module):
    def __init__(self, vocab, embed, hidden):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.gru = nn.GRU(embed, hidden, batch_first=True)

    def forward(self, source):
        memory, last = self.gru(self.embedding(source))
        return memory, last[0]


class AdditiveAttention(nn.Module):
    """score(s, h) = v . tanh(W s + U h), normalised over the source."""

    def __init__(self, hidden):
        super().__init__()
        self.W = nn.Linear(hidden, hidden, bias=False)
        self.U = nn.Linear(hidden, hidden, bias=False)
        self.v = nn.Linear(hidden, 1, bias=False)

    def forward(self, query, memory, projected):
        energy = self.v(torch.tanh(self.W(query).unsqueeze(1) + projected))
        weights = torch.softmax(energy, dim=1)
        return (weights * memory).sum(dim=1)


class AttentionDecoder(nn.Module):
    def __init__(self, vocab, embed, hidden):
        super().__init__()
        self.embedding = nn.Embedding(vocab, embed)
        self.attention = AdditiveAttention(hidden)
        self.cell = nn.GRUCell(embed + hidden, hidden)
        self.project = nn.Linear(2 * hidden, vocab)

    def forward(self, target, memory, state):
        projected = self.attention.U(memory)
        embedded = self.embedding(target)
        outputs = []
        for i in range(target.shape[1]):
            context = self.attention(state, memory, projected)
            state = self.cell(torch.cat([embedded[:, i], context], dim=1), state)
            outputs.append(self.project(torch.cat([state, context], dim=1)))
        return torch.stack(outputs, dim=1)


def reversal_pairs(pairs, source_len, target_len, vocab, device):
    """The target is the source read backwards, cut or repeated to its length; 1 begins a sentence."""
    source = torch.randint(2, vocab, (pairs, source_len), device=device)
    places = torch.arange(target_len, device=device) % source_len
    target = source.flip(1)[:, places]
    begin = torch.ones(pairs, 1, dtype=torch.long, device=device)
    return source, torch.cat([begin, target[:, :-1]], dim=1), target
''',
    setup="""\
S.encoder = SourceEncoder(H.vocab, H.embed, H.hidden).to(device)
S.decoder = AttentionDecoder(H.vocab, H.embed, H.hidden).to(device)
S.params = list(S.encoder.parameters()) + list(S.decoder.parameters())
S.optimizer = torch.optim.Adam(S.params, lr=H.lr)
S.log = []
""",
    step="""\
source, shifted, expected = reversal_pairs(H.pairs, H.source_len, H.target_len, H.vocab, device)
S.optimizer.zero_grad()
memory, thought = S.encoder(source)
predicted = S.decoder(shifted, memory, thought)
loss = F.cross_entropy(predicted.transpose(1, 2), expected)
loss.backward()
nn.utils.clip_grad_norm_(S.params, 5.0)
S.optimizer.step()
S.log.append(loss.item())
""",
    report="""\
best = min(S.log)
print("best loss", best)
summary = S.log[-1]
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

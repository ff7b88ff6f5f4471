"""A bidirectional tagger whose GRU cells run in a Python loop; bound by the launches of tiny operators."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    c, w, b, t = sizes(h, "word_dim", "units", "sentences", "words")
    flops = 6 * b * t * (2 * 3 * w * (c + w) + 2 * w * 17)
    return Cost(flops, b * t * 2 * (40 * w + 4 * t * c) + 12 * 5000 * c, 2 * t * 85 + 250)


_SIZING = Sizing(
    cost=_cost,
    scale=1.0,
    choices={
        "word_dim": (24, 32, 50, 64, 100),
        "units": (16, 32, 48, 64, 96, 128, 192),
        "sentences": (2, 4, 8, 16, 32, 64),
        "words": (10, 16, 24, 32, 48, 64),
        "smoothing": (0.0, 0.05, 0.1),
        "rate": (1e-3, 2e-3, 3e-3),
    },
    steps=(12, 74),
    growth=(("sentences", 4, 2048), ("units", 2, 768), ("word_dim", 2, 400), ("words", 2, 96)),
)


FAMILY = Family(
    name="gru_tagger",
    summary="A bidirectional tagger whose GRU cells run in a Python loop; bound by the launches of tiny operators.",
    imports=_IMPORTS,
    definitions='''\
class GatedCell(nn.Module):
    """One gated recurrent step, written out gate by gate."""

    def __init__(self, inputs, units):
        super().__init__()
        self.gates = nn.Linear(inputs + units, 2 * units)
        self.candidate = nn.Linear(inputs + units, units)

    def forward(self, x, h):
        reset, update = torch.sigmoid(self.gates(torch.cat([x, h], dim=1))).chunk(2, dim=1)
        proposal = torch.tanh(self.candidate(torch.cat([x, reset * h], dim=1)))
        return update * h + (1 - update) * proposal


class BiTagger(nn.Module):
    def __init__(self, lexicon, word_dim, units, tags):
        super().__init__()
        self.units = units
        self.lookup = nn.Embedding(lexicon, word_dim)
        self.left_to_right = GatedCell(word_dim, units)
        self.right_to_left = GatedCell(word_dim, units)
        self.classify = nn.Linear(2 * units, tags)

    def scan(self, cell, vectors, order):
        h = vectors.new_zeros(vectors.shape[0], self.units)
        states = {}
        for t in order:
            h = cell(vectors[:, t], h)
            states[t] = h
        return torch.stack([states[t] for t in sorted(states)], dim=1)

    def forward(self, sentences):
        vectors = self.lookup(sentences)
        length = sentences.shape[1]
        ahead = self.scan(self.left_to_right, vectors, range(length))
        behind = self.scan(self.right_to_left, vectors, range(length - 1, -1, -1))
        return self.classify(torch.cat([ahead, behind], dim=2))


def make_tags(sentences, tags):
    """A word's tag depends on itself and on its neighbour."""
    return (sentences + torch.roll(sentences, 1, dims=1)) % tags


def accuracy(scores, gold):
    return (scores.argmax(dim=-1) == gold).float().mean()
''',
    setup="""\
S.tagger = BiTagger(5000, H.word_dim, H.units, 17).to(device)
S.criterion = nn.CrossEntropyLoss(label_smoothing=H.smoothing)
S.optim = torch.optim.Adam(S.tagger.parameters(), lr=H.rate)
S.hits = []
""",
    step="""\
phrase = torch.randint(0, 5000, (H.sentences, H.words), device=device)
gold = make_tags(phrase, 17)
scores = S.tagger(phrase)
loss = S.criterion(scores.flatten(0, 1), gold.flatten())
S.optim.zero_grad()
loss.backward()
S.optim.step()
S.hits.append(accuracy(scores.detach(), gold))
""",
    report="""\
summary = torch.stack(S.hits).mean().item()
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

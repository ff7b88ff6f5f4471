"""Sequence programs: recurrent loops, attention decoders and convolutions over time.

Limits covered: fused recurrences (LSTM), a Python loop of tiny cells (GRU tagger), a decoder that attends at every
position (translation), wide one-dimensional convolutions (text classification) and dilated ones (forecasting).
"""

from kilowait.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _lstm_cost(h: Hyperparameters) -> Cost:
    e, w, depth, b, t, v = sizes(h, "emb_size", "hidden_size", "num_layers", "batch_size", "bptt", "vocab_size")
    cells = 4 * w * (e + w) + (depth - 1) * 8 * w * w
    params = cells + v * (e + w)
    return Cost(6 * b * t * (cells + v * w), b * t * (60 * w * depth + 8 * v) + 10 * params, 45 * depth * t + 150)


_LSTM_SIZING = Sizing(
    cost=_lstm_cost,
    scale=0.65,
    launches_s=150.0,
    choices={
        "emb_size": (32, 64, 128),
        "hidden_size": (48, 64, 96, 128, 192, 256),
        "num_layers": (1, 2, 3),
        "batch_size": (4, 8, 16, 32),
        "bptt": (16, 24, 35, 50, 70),
        "vocab_size": (200, 500, 1000, 3000),
        "dropout": (0.0, 0.2, 0.4),
        "lr": (0.5, 1.0, 2.0),
    },
    steps=(4, 80),
    growth=(("batch_size", 4, 512), ("hidden_size", 2, 1024), ("emb_size", 2, 512), ("bptt", 2, 140)),
)

_LSTM = Family(
    name="lstm_language_model",
    summary="A word-level LSTM with truncated backpropagation and plain SGD; bound by the recurrence.",
    imports="import math\n" + _IMPORTS,
    definitions='''\
class RNNModel(nn.Module):
    """Embedding, stacked LSTM and a projection onto the vocabulary."""

    def __init__(self, vocab_size, emb_size, hidden_size, num_layers, dropout):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(vocab_size, emb_size)
        self.lstm = nn.LSTM(emb_size, hidden_size, num_layers)
        self.decoder = nn.Linear(hidden_size, vocab_size)
        self.init_weights()

    def init_weights(self):
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)
        nn.init.uniform_(self.decoder.weight, -0.1, 0.1)
        nn.init.zeros_(self.decoder.bias)

    def forward(self, tokens, hidden):
        embedded = self.drop(self.encoder(tokens))
        output, hidden = self.lstm(embedded, hidden)
        return self.decoder(self.drop(output)), hidden


def batchify(data, batch_size):
    """Cut one long stream into `batch_size` columns that are read side by side."""
    rows = data.shape[0] // batch_size
    return data[: rows * batch_size].view(batch_size, rows).t().contiguous()


def get_batch(source, start, bptt):
    return source[start : start + bptt], source[start + 1 : start + 1 + bptt].reshape(-1)


def repackage(hidden):
    """Cut the graph so that gradients stop at the border of a window."""
    return tuple(state.detach() for state in hidden)


def zero_state(num_layers, batch_size, hidden_size, device):
    shape = (num_layers, batch_size, hidden_size)
    return torch.zeros(shape, device=device), torch.zeros(shape, device=device)
''',
    setup='''\
S.text = torch.randint(0, H.vocab_size, (H.batch_size * (10 * H.bptt + 1),), device=device)
S.train_data = batchify(S.text, H.batch_size)
S.net = RNNModel(H.vocab_size, H.emb_size, H.hidden_size, H.num_layers, H.dropout).to(device)
S.net.train()
S.sgd = torch.optim.SGD(S.net.parameters(), lr=H.lr)
S.carried = [zero_state(H.num_layers, H.batch_size, H.hidden_size, device)]
S.total = [0.0]
''',
    step='''\
x, y = get_batch(S.train_data, (step % 10) * H.bptt, H.bptt)
S.sgd.zero_grad()
output, last_state = S.net(x, repackage(S.carried[0]))
loss = F.cross_entropy(output.view(-1, H.vocab_size), y)
loss.backward()
nn.utils.clip_grad_norm_(S.net.parameters(), 0.25)
S.sgd.step()
S.carried[0] = last_state
S.total[0] += loss.item()
''',
    report='''\
mean_loss = S.total[0] / H.steps
print("cross entropy:", round(mean_loss, 4))
summary = math.exp(min(mean_loss, 20.0))
''',
    draw=_LSTM_SIZING.draw,
    enlarge=_LSTM_SIZING.enlarge,
    seconds=_LSTM_SIZING.seconds,
)


def _tagger_cost(h: Hyperparameters) -> Cost:
    c, w, b, t = sizes(h, "word_dim", "units", "sentences", "words")
    flops = 6 * b * t * (2 * 3 * w * (c + w) + 2 * w * 17)
    return Cost(flops, b * t * 2 * (40 * w + 4 * t * c) + 12 * 5000 * c, 2 * t * 85 + 250)


_TAGGER_SIZING = Sizing(
    cost=_tagger_cost,
    scale=1.0,
    choices={
        "word_dim": (24, 32, 50, 64, 100),
        "units": (16, 32, 48, 64, 96, 128, 192),
        "sentences": (2, 4, 8, 16, 32, 64),
        "words": (10, 16, 24, 32, 48, 64),
        "smoothing": (0.0, 0.05, 0.1),
        "rate": (1e-3, 2e-3, 3e-3),
    },
    steps=(4, 120),
    growth=(("sentences", 4, 2048), ("units", 2, 768), ("word_dim", 2, 400), ("words", 2, 96)),
)

_TAGGER = Family(
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
    setup='''\
S.tagger = BiTagger(5000, H.word_dim, H.units, 17).to(device)
S.criterion = nn.CrossEntropyLoss(label_smoothing=H.smoothing)
S.optim = torch.optim.Adam(S.tagger.parameters(), lr=H.rate)
S.hits = []
''',
    step='''\
phrase = torch.randint(0, 5000, (H.sentences, H.words), device=device)
gold = make_tags(phrase, 17)
scores = S.tagger(phrase)
loss = S.criterion(scores.flatten(0, 1), gold.flatten())
S.optim.zero_grad()
loss.backward()
S.optim.step()
S.hits.append(accuracy(scores.detach(), gold))
''',
    report='''\
summary = torch.stack(S.hits).mean().item()
''',
    draw=_TAGGER_SIZING.draw,
    enlarge=_TAGGER_SIZING.enlarge,
    seconds=_TAGGER_SIZING.seconds,
)


def _translation_cost(h: Hyperparameters) -> Cost:
    d, w, b, s, t, v = sizes(h, "embed", "hidden", "pairs", "source_len", "target_len", "vocab")
    encoder = s * 3 * w * (d + w)
    decoder = t * (3 * w * (d + 2 * w) + 2 * w * w + s * 2 * w + 2 * w * v)
    params = 2 * v * d + 2 * w * v + 3 * w * (2 * d + 4 * w)
    return Cost(
        6 * b * (encoder + decoder),
        b * (t * (14 * s * w + 8 * v) + (s + t) * 50 * w) + 12 * params,
        60 * s + 230 * t + 300,
    )


_TRANSLATION_SIZING = Sizing(
    cost=_translation_cost,
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
    steps=(3, 60),
    growth=(("pairs", 4, 512), ("hidden", 2, 768), ("embed", 2, 384), ("source_len", 2, 64)),
)

_TRANSLATION = Family(
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
    setup='''\
S.encoder = SourceEncoder(H.vocab, H.embed, H.hidden).to(device)
S.decoder = AttentionDecoder(H.vocab, H.embed, H.hidden).to(device)
S.params = list(S.encoder.parameters()) + list(S.decoder.parameters())
S.optimizer = torch.optim.Adam(S.params, lr=H.lr)
S.log = []
''',
    step='''\
source, shifted, expected = reversal_pairs(H.pairs, H.source_len, H.target_len, H.vocab, device)
S.optimizer.zero_grad()
memory, thought = S.encoder(source)
predicted = S.decoder(shifted, memory, thought)
loss = F.cross_entropy(predicted.transpose(1, 2), expected)
loss.backward()
nn.utils.clip_grad_norm_(S.params, 5.0)
S.optimizer.step()
S.log.append(loss.item())
''',
    report='''\
best = min(S.log)
print("best loss", best)
summary = S.log[-1]
''',
    draw=_TRANSLATION_SIZING.draw,
    enlarge=_TRANSLATION_SIZING.enlarge,
    seconds=_TRANSLATION_SIZING.seconds,
)


def _text_cnn_cost(h: Hyperparameters) -> Cost:
    d, f, k, b, t, v = sizes(h, "embedding_dim", "filters", "largest_kernel", "batch_size", "doc_length", "vocabulary")
    widths = (k * (k + 1) / 2 - 3) if k > 2 else k  # kernels of 3 .. k
    return Cost(6 * b * t * d * f * widths, b * t * (8 * d + 10 * f * (k - 2)) + 14 * v * d, 40 * (k - 2) + 200)


_TEXT_CNN_SIZING = Sizing(
    cost=_text_cnn_cost,
    scale=1.15,
    choices={
        "vocabulary": (1000, 3000, 8000, 20000),
        "embedding_dim": (32, 50, 64, 100, 128),
        "filters": (16, 32, 50, 64, 100, 128),
        "largest_kernel": (3, 4, 5, 7),
        "batch_size": (4, 8, 16, 32, 50),
        "doc_length": (40, 60, 100, 150, 200),
        "classes": (2, 5, 20),
        "drop": (0.2, 0.5),
    },
    steps=(4, 80),
    growth=(("batch_size", 2, 1024), ("filters", 2, 768), ("embedding_dim", 2, 512), ("doc_length", 2, 400)),
)

_TEXT_CNN = Family(
    name="text_cnn",
    summary="Parallel one-dimensional convolutions with max-over-time pooling over documents.",
    imports=_IMPORTS,
    definitions='''\
class TextCNN(nn.Module):
    """Kernels of several widths slide over the words; each keeps only its strongest response."""

    def __init__(self, vocabulary, embedding_dim, filters, kernels, classes, drop):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, embedding_dim, padding_idx=0)
        self.convolutions = nn.ModuleList(
            [nn.Conv1d(embedding_dim, filters, kernel_size=k) for k in kernels]
        )
        self.dropout = nn.Dropout(drop)
        self.output = nn.Linear(filters * len(kernels), classes)

    def forward(self, documents):
        words = self.embedding(documents).transpose(1, 2)
        pooled = []
        for convolution in self.convolutions:
            response = F.relu(convolution(words))
            pooled.append(F.max_pool1d(response, response.shape[2]).squeeze(2))
        return self.output(self.dropout(torch.cat(pooled, dim=1)))


def make_documents(count, length, vocabulary, classes, device):
    """Random words with a short phrase planted that gives the class away."""
    documents = torch.randint(1, vocabulary, (count, length), device=device)
    labels = torch.randint(0, classes, (count,), device=device)
    position = torch.randint(0, length - 3, (count,), device=device)
    rows = torch.arange(count, device=device)
    for offset in range(3):
        documents[rows, position + offset] = 1 + labels * 3 + offset
    return documents, labels


def holdout_accuracy(model, documents, labels):
    model.eval()
    with torch.no_grad():
        correct = (model(documents).argmax(dim=1) == labels).float().mean()
    model.train()
    return correct.item()
''',
    setup='''\
S.documents, S.labels = make_documents(10 * H.batch_size, H.doc_length, H.vocabulary, H.classes, device)
S.kernels = list(range(3, H.largest_kernel + 1))
S.classifier = TextCNN(H.vocabulary, H.embedding_dim, H.filters, S.kernels, H.classes, H.drop).to(device)
S.optimizer = torch.optim.Adadelta(S.classifier.parameters(), lr=1.0, rho=0.95)
S.running = torch.zeros((), device=device)
''',
    step='''\
first = (step % 10) * H.batch_size
batch = S.documents[first : first + H.batch_size]
wanted = S.labels[first : first + H.batch_size]
S.optimizer.zero_grad()
loss = F.cross_entropy(S.classifier(batch), wanted)
loss.backward()
S.optimizer.step()
S.running.mul_(0.9).add_(loss.detach(), alpha=0.1)
''',
    report='''\
print("running loss:", S.running.item())
summary = holdout_accuracy(S.classifier, S.documents[: H.batch_size], S.labels[: H.batch_size])
''',
    draw=_TEXT_CNN_SIZING.draw,
    enlarge=_TEXT_CNN_SIZING.enlarge,
    seconds=_TEXT_CNN_SIZING.seconds,
)


def _tcn_cost(h: Hyperparameters) -> Cost:
    c, k, depth, b, t = sizes(h, "channels", "kernel_size", "levels", "batch", "window")
    return Cost(
        6 * b * t * (2 * depth - 1) * k * c * c,
        b * t * c * depth * 30 + 24 * depth * k * c * c,
        330 * depth + 80,
    )


_TCN_SIZING = Sizing(
    cost=_tcn_cost,
    scale=1.25,
    launches_s=70.0,
    choices={
        "channels": (8, 16, 24, 32, 48, 64),
        "kernel_size": (2, 3, 5),
        "levels": (2, 3, 4, 5, 6),
        "batch": (2, 4, 8, 16, 32),
        "window": (64, 96, 128, 192, 256, 384),
        "lr": (5e-4, 1e-3, 2e-3),
    },
    steps=(4, 80),
    growth=(("batch", 2, 256), ("channels", 2, 512), ("window", 2, 512), ("levels", 2, 8)),
)

_TCN = Family(
    name="temporal_convolution",
    summary="Dilated causal convolutions that forecast mixed sine waves; small convolutions over long windows.",
    imports="import math\n" + _IMPORTS,
    definitions='''\
class CausalConv(nn.Module):
    """A dilated convolution that sees only the past: the padding goes in front."""

    def __init__(self, channels_in, channels_out, kernel_size, dilation):
        super().__init__()
        self.pad = (kernel_size - 1) * dilation
        self.conv = nn.Conv1d(channels_in, channels_out, kernel_size, dilation=dilation)

    def forward(self, x):
        return self.conv(F.pad(x, (self.pad, 0)))


class TemporalBlock(nn.Module):
    def __init__(self, channels_in, channels_out, kernel_size, dilation):
        super().__init__()
        self.first = CausalConv(channels_in, channels_out, kernel_size, dilation)
        self.norm = nn.GroupNorm(1, channels_out)
        self.second = CausalConv(channels_out, channels_out, kernel_size, dilation)
        self.skip = nn.Conv1d(channels_in, channels_out, 1) if channels_in != channels_out else nn.Identity()

    def forward(self, x):
        y = F.relu(self.norm(self.first(x)))
        y = F.relu(self.second(y))
        return y + self.skip(x)


class Forecaster(nn.Module):
    def __init__(self, channels, kernel_size, levels):
        super().__init__()
        blocks = [TemporalBlock(1, channels, kernel_size, 1)]
        for level in range(1, levels):
            blocks.append(TemporalBlock(channels, channels, kernel_size, 2**level))
        self.blocks = nn.Sequential(*blocks)
        self.readout = nn.Conv1d(channels, 1, 1)

    def forward(self, signal):
        return self.readout(self.blocks(signal))


def waves(batch, window, device):
    """Two sines of random pitch and phase with noise, one sample longer than the window."""
    time = torch.arange(window + 1, device=device) / window
    pitch = 1 + 15 * torch.rand(batch, 2, 1, device=device)
    phase = 2 * math.pi * torch.rand(batch, 2, 1, device=device)
    clean = torch.sin(2 * math.pi * pitch * time + phase).sum(dim=1, keepdim=True)
    return clean + 0.05 * torch.randn_like(clean)
''',
    setup='''\
S.forecaster = Forecaster(H.channels, H.kernel_size, H.levels).to(device)
S.optimizer = torch.optim.AdamW(S.forecaster.parameters(), lr=H.lr)
S.scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(S.optimizer, T_max=H.steps)
S.errors = []
''',
    step='''\
signal = waves(H.batch, H.window, device)
forecast = S.forecaster(signal[..., :-1])
loss = F.smooth_l1_loss(forecast, signal[..., 1:])
S.optimizer.zero_grad()
loss.backward()
S.optimizer.step()
S.scheduler.step()
S.errors.append(loss.item())
''',
    report='''\
print("first error:", S.errors[0])
summary = S.errors[-1]
''',
    draw=_TCN_SIZING.draw,
    enlarge=_TCN_SIZING.enlarge,
    seconds=_TCN_SIZING.seconds,
)

FAMILIES: tuple[Family, ...] = (_LSTM, _TAGGER, _TRANSLATION, _TEXT_CNN, _TCN)
"""The sequence families in the order in which the corpus lists them."""

"""A word-level LSTM with truncated backpropagation and plain SGD; bound by the recurrence."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    e, w, depth, b, t, v = sizes(h, "emb_size", "hidden_size", "num_layers", "batch_size", "bptt", "vocab_size")
    cells = 4 * w * (e + w) + (depth - 1) * 8 * w * w
    params = cells + v * (e + w)
    return Cost(6 * b * t * (cells + v * w), b * t * (60 * w * depth + 8 * v) + 10 * params, 45 * depth * t + 150)


_SIZING = Sizing(
    cost=_cost,
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
    steps=(33, 200),
    growth=(("batch_size", 4, 512), ("hidden_size", 2, 1024), ("emb_size", 2, 512), ("bptt", 2, 140)),
)


FAMILY = Family(
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
    setup="""\
S.text = torch.randint(0, H.vocab_size, (H.batch_size * (10 * H.bptt + 1),), device=device)
S.train_data = batchify(S.text, H.batch_size)
S.net = RNNModel(H.vocab_size, H.emb_size, H.hidden_size, H.num_layers, H.dropout).to(device)
S.net.train()
S.sgd = torch.optim.SGD(S.net.parameters(), lr=H.lr)
S.carried = [zero_state(H.num_layers, H.batch_size, H.hidden_size, device)]
S.total = [0.0]
""",
    step="""\
x, y = get_batch(S.train_data, (step % 10) * H.bptt, H.bptt)
S.sgd.zero_grad()
output, last_state = S.net(x, repackage(S.carried[0]))
loss = F.cross_entropy(output.view(-1, H.vocab_size), y)
loss.backward()
nn.utils.clip_grad_norm_(S.net.parameters(), 0.25)
S.sgd.step()
S.carried[0] = last_state
S.total[0] += loss.item()
""",
    report="""\
mean_loss = S.total[0] / H.steps
print("cross entropy:", round(mean_loss, 4))
summary = math.exp(min(mean_loss, 20.0))
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

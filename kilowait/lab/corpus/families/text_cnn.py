"""Parallel one-dimensional convolutions with max-over-time pooling over documents."""

from kilowait.lab.corpus.family import Cost, Family, Hyperparameters, Sizing, sizes

_IMPORTS = "import torch\nimport torch.nn as nn\nimport torch.nn.functional as F"


def _cost(h: Hyperparameters) -> Cost:
    d, f, k, b, t, v = sizes(h, "embedding_dim", "filters", "largest_kernel", "batch_size", "doc_length", "vocabulary")
    widths = (k * (k + 1) / 2 - 3) if k > 2 else k  # kernels of 3 .. k
    return Cost(6 * b * t * d * f * widths, b * t * (8 * d + 10 * f * (k - 2)) + 14 * v * d, 40 * (k - 2) + 200)


_SIZING = Sizing(
    cost=_cost,
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
    steps=(11, 64),
    growth=(("batch_size", 2, 1024), ("filters", 2, 768), ("embedding_dim", 2, 512), ("doc_length", 2, 400)),
)


FAMILY = Family(
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
    setup="""\
S.documents, S.labels = make_documents(10 * H.batch_size, H.doc_length, H.vocabulary, H.classes, device)
S.kernels = list(range(3, H.largest_kernel + 1))
S.classifier = TextCNN(H.vocabulary, H.embedding_dim, H.filters, S.kernels, H.classes, H.drop).to(device)
S.optimizer = torch.optim.Adadelta(S.classifier.parameters(), lr=1.0, rho=0.95)
S.running = torch.zeros((), device=device)
""",
    step="""\
first = (step % 10) * H.batch_size
batch = S.documents[first : first + H.batch_size]
wanted = S.labels[first : first + H.batch_size]
S.optimizer.zero_grad()
loss = F.cross_entropy(S.classifier(batch), wanted)
loss.backward()
S.optimizer.step()
S.running.mul_(0.9).add_(loss.detach(), alpha=0.1)
""",
    report="""\
print("running loss:", S.running.item())
summary = holdout_accuracy(S.classifier, S.documents[: H.batch_size], S.labels[: H.batch_size])
""",
    draw=_SIZING.draw,
    enlarge=_SIZING.enlarge,
    seconds=_SIZING.seconds,
)

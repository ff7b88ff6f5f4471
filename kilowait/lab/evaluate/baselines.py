"""What a probe has to beat: an average, the nearest script, and a ridge on the words of the source.

Each baseline takes training rows and answers for every script and device type, so that it stands in the same
table as the probes and is split the same way.
"""

import re
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from kilowait.predict.probe import kernel_ridge
from kilowait.predict.probe.kernel_ridge import KernelConfig
from kilowait.predict.probe.probe import Rows

WORD = re.compile(r"[A-Za-z_]\w*|\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
"""Identifiers, keywords and numbers; a number is a word of its own, as in a plain bag."""


def geometric_mean(rows: Rows, types: int) -> Tensor:
    """The geometric mean of the training labels on each device type (D,): the best constant for ratios."""
    log = rows.y.log()
    return torch.stack([log[rows.device == device].mean().exp() for device in range(types)])


def nearest(rows: Rows, x: Tensor, types: int) -> Tensor:
    """The labels of the training script with the most similar embedding (cosine), for each of x (S, d) -> (S, D).

    A type that this script has no label for gets the geometric mean.
    """
    center = rows.x.mean(0)
    similarity = _unit(x - center) @ _unit(rows.x - center).T
    table = geometric_mean(rows, types).repeat(rows.x.shape[0], 1)
    table[rows.script, rows.device] = rows.y
    return table[similarity.argmax(1)]


def _unit(x: Tensor) -> Tensor:
    return torch.nn.functional.normalize(x, dim=1)


def bag_of_words(train: Sequence[str], texts: Sequence[str]) -> Tensor:
    """tf-idf of every text over the words of the training texts, rows of length 1 (S, words).

    Words in one training text alone are left out; counts enter as 1 + log(count), and a word's weight is
    1 + log((1 + n) / (1 + n_with_it)).
    """
    text_counts = Counter(word for text in train for word in set(WORD.findall(text)))
    vocabulary = {word: i for i, word in enumerate(sorted(w for w, n in text_counts.items() if n > 1))}
    bag = torch.zeros(len(texts), max(len(vocabulary), 1))
    for row, text in enumerate(texts):
        for word, count in Counter(WORD.findall(text)).items():
            if word in vocabulary:
                bag[row, vocabulary[word]] = count
    weight = torch.tensor([(1 + len(train)) / (1 + text_counts[word]) for word in vocabulary] or [1.0]).log() + 1
    return _unit(torch.where(bag > 0, 1 + bag.clamp(min=1).log(), 0.0) * weight)


def words_ridge(rows: Rows, bag: Tensor, types: int) -> Tensor:
    """Ridge of the logarithm on words (S, words) -> (S, D); rows.x are the training scripts' words.

    The same solver, and the same choice of penalty inside the training rows, as kilowait's own linear probe.
    """
    model = kernel_ridge.fit(KernelConfig(), rows.x, rows.script, rows.device, rows.y.log(), rows.keys, types)
    return model.predict(bag).exp()

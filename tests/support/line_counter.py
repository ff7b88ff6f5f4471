"""A stand-in for the language model that counts lines, and probes on what it answers."""

from types import SimpleNamespace

import numpy as np
import torch

from kilowait.predict.embed.features import FeatureConfiguration
from kilowait.predict.probe.bundle import MetricProbe
from kilowait.predict.probe.probe import Probe, ProbeConfig

KEYS = (FeatureConfiguration().key,)
LENGTH = 3
"""The stand-in embedding: a source's number of lines, and two zeros."""


class LineCounter:
    """Stands in for the language model: the first number is ln(lines)."""

    def __init__(self):
        self.asked = []

    def embed(self, source, configurations):
        self.asked.append([configuration.key for configuration in configurations])
        vector = np.zeros(LENGTH, dtype=np.float32)
        vector[0] = np.log(len(source.text.splitlines()))
        return [SimpleNamespace(vector=vector) for _ in configurations]


def metric(per_line, provenance):
    """A hand-made linear probe: `per_line` times the number of lines, twice that on cpu-2."""
    tensors = {
        "center": torch.zeros(LENGTH),
        "spread": torch.ones(LENGTH),
        "support": torch.zeros(0, LENGTH),
        "dual": torch.tensor([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]]),
        "offset": torch.tensor([per_line, 2 * per_line]).log(),
        "width": torch.zeros(()),
    }
    probe = Probe(config=ProbeConfig(features=KEYS), device_types=("cpu-1", "cpu-2"), tensors=tensors)
    how = {"cpu-1": provenance, "cpu-2": provenance}
    return MetricProbe(probe=probe, provenance=how, label_range=(0.001, 10**9))

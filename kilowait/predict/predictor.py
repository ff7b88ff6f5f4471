"""From a source to a prediction on every device type: the embedder and the probes in a row."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from kilowait.errors import ModelError
from kilowait.jobs import JOULES_PER_KWH, Prediction
from kilowait.predict.bundle import Bundle
from kilowait.predict.features import FeatureConfiguration
from kilowait.source import Source


class Vector(Protocol):
    """What a language model makes of a source under one feature configuration."""

    @property
    def vector(self) -> NDArray[np.float32]:
        """The numbers (d,)."""


class SourceEmbedder(Protocol):
    """The language model seen from here: tests have one that needs no weights."""

    def embed(self, source: Source, configurations: Sequence[FeatureConfiguration]) -> Sequence[Vector]:
        """One vector a configuration, in their order."""


class Predictor:
    """Predicts the metrics of a source with the probes of `bundle` on the vectors of `embedder`.

    Raises ModelError when the bundle has no probe for run time or energy.
    """

    def __init__(self, bundle: Bundle, embedder: SourceEmbedder) -> None:
        for metric in ("runtime_s", "energy_j"):
            if metric not in bundle.metrics:
                raise ModelError(f"the bundle has no probe for {metric}; it has {', '.join(bundle.metrics)}")
        self.bundle = bundle
        self.embedder = embedder
        self.version = bundle.version
        self.features = bundle.features
        self.feature_names = "+".join(feature.key for feature in self.features)

    def predict(self, source: Source) -> dict[str, Prediction]:
        """The expected run time, energy and other metrics of `source` on each device type of the bundle."""
        embeddings = self.embedder.embed(source, self.features)
        return self.predict_vector(np.concatenate([embedding.vector for embedding in embeddings]))

    def predict_vector(self, vector: NDArray[np.float32]) -> dict[str, Prediction]:
        """The same from the embedding itself (d,), for sources that were embedded before."""
        x = torch.from_numpy(np.asarray(vector, dtype=np.float32)).unsqueeze(0)
        columns = {metric: part.predict(x)[0].tolist() for metric, part in self.bundle.metrics.items()}
        return {
            device_type: self._prediction({metric: values[at] for metric, values in columns.items()})
            for at, device_type in enumerate(self.bundle.device_types)
        }

    def _prediction(self, values: dict[str, float]) -> Prediction:
        other = {metric: v for metric, v in values.items() if metric not in ("runtime_s", "energy_j")}
        return Prediction(
            runtime_s=values["runtime_s"],
            energy_kwh=values["energy_j"] / JOULES_PER_KWH,
            probe_version=self.version,
            features=self.feature_names,
            other=other,
        )

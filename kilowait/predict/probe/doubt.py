"""How far off probes may be: quantiles of their residuals out of fold, for programs of known kinds and of new ones.

Split conformal on r = log(measured / predicted) by probes that had not seen the program (a known kind: folds of
scripts) nor any of its family (a new kind: folds of families). Which of the two a program is, a `Novelty` detector on
its embedding says: 5% of known kinds are taken for new ones, which widens their intervals.

Not covered: programs unlike every family of the training set are only as exchangeable with the left-out families as
those are with each other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from torch import Tensor

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.predict.device_model.calibration import Quantiles
from kilowait.predict.probe.ood import Novelty

KNOWN, NEW = "known", "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """By metric and kind of program the quantiles of log residuals; `novelty` tells the kinds apart."""

    quantiles: Mapping[str, Mapping[str, Quantiles]]
    novelty: Novelty

    @classmethod
    def fit(
        cls,
        residuals: Mapping[str, Mapping[str, tuple[FloatArray, IntArray]]],
        x: Tensor,
        families: Sequence[str],
        programs: Sequence[str],
    ) -> Self:
        """From residuals by metric and kind, with the program of each; x (S, d) are embeddings of the programs."""
        quantiles = {m: {kind: Quantiles.of(*rows) for kind, rows in kinds.items()} for m, kinds in residuals.items()}
        return cls(quantiles=quantiles, novelty=Novelty.fit(x, families, programs))

    def distance(self, x: Tensor) -> float:
        """How far the program x (1, d) is from the nearest family, in units of the detector's threshold."""
        return float(self.novelty.score(x)[0]) / self.novelty.threshold

    def ends(self, metric: str, value: float, distance: float) -> tuple[float | None, float | None]:
        """The 90% interval around a prediction for a program at a `distance`; (None, None) for a metric without one."""
        if metric not in self.quantiles:
            return None, None
        return self.quantiles[metric][NEW if distance > 1 else KNOWN].around(value)

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """The tensors of the novelty detector."""
        return self.novelty.tensors

    def description(self) -> dict[str, Any]:
        """Everything but the tensors, as JSON takes it."""
        quantiles = {m: {kind: asdict(ends) for kind, ends in kinds.items()} for m, kinds in self.quantiles.items()}
        return {"quantiles": quantiles, "programs": list(self.novelty.programs)}

    @classmethod
    def restored(cls, described: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Self:
        """The inverse of `description` and `tensors`; raises ModelError or what reading JSON of another form raises."""
        quantiles = {
            metric: {kind: Quantiles.from_dict(kinds[kind]) for kind in (KNOWN, NEW)}
            for metric, kinds in described["quantiles"].items()
        }
        return cls(quantiles=quantiles, novelty=Novelty(tensors=tensors, programs=tuple(described["programs"])))

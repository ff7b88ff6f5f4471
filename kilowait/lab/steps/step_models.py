"""The device model of labelled steps: fitted to labels of several sources, and asked for others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.lab.steps.labelled_steps import KERNELBENCH, OPERATORS, IndexedLabels, LabelledStep
from kilowait.predict.device_model.efficiency import VARIED, Terms
from kilowait.predict.device_model.learned_weights import MeasuredTimes
from kilowait.predict.device_model.model import DeviceModel
from kilowait.predict.device_model.work import READING

TERMS = replace(
    VARIED, source=0.08, source_group=0.08, host_source=0.3, host_source_group=0.1, host_type=0.15, machine=0.15
)
"""And what a source does, and a type's hosts have in common: round numbers, chosen by orders of boards left out."""
SPREAD = {OPERATORS: 0.15, KERNELBENCH: 0.0}
"""What else a label may be off by (logarithms): more for a source whose many rows would drown the others."""
OTHER_SPREAD = 0.07
RADIUS = 1.5
"""Works within this distance share what is learned of one: some 10,000 different ones come to about 2,300."""
TOGETHER = 16
"""Programs that are asked for at a time: all of their works would take gigabytes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFit:
    """How labels are learned from."""

    terms: Terms = TERMS
    radius: float = RADIUS
    spread: Mapping[str, float] = field(default_factory=lambda: SPREAD)

    def fitted(self, labels: Sequence[LabelledStep]) -> DeviceModel:
        """The model of these labels."""
        indexed = IndexedLabels.of(labels)
        spread = np.array([self.spread.get(label.source, OTHER_SPREAD) for label in labels])
        measured = MeasuredTimes(indexed.program, indexed.board, indexed.log_s, spread)
        return DeviceModel.fit(
            indexed.runs, indexed.boards, measured, terms=self.terms, reading=READING, radius=self.radius, robust=True
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPredictions:
    """What a model says of N labels: log seconds, and its doubt of them in parts (N, parts) as `DeviceModel.doubts`."""

    log_s: FloatArray
    doubts: FloatArray


def predictions_of(model: DeviceModel, labels: Sequence[LabelledStep], *, anonymous: bool) -> StepPredictions:
    """Predictions of labels; `anonymous` ones for boards in nobody's hands, as a user asks.

    No label is known to the model as the program's own: where one is, its anchor is left out.
    """
    indexed = IndexedLabels.of(labels, anonymous=anonymous)
    log_s, doubts = np.empty(len(labels)), np.empty((len(labels), len(model.doubt)))
    for start in range(0, len(indexed.runs), TOGETHER):
        runs = [replace(run, content_hash="") for run in indexed.runs[start : start + TOGETHER]]
        told = model.in_parts(runs, indexed.boards)
        rows = (indexed.program >= start) & (indexed.program < start + TOGETHER)
        at = indexed.program[rows] - start, indexed.board[rows]
        log_s[rows], doubts[rows] = told.log_s[at], told.doubts[at]
    return StepPredictions(log_s=log_s, doubts=doubts)

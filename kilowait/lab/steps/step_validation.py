"""Labelled steps predicted by models that have not seen their kind of network, their source or their GPU type."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.lab.steps.labelled_steps import LabelledStep
from kilowait.lab.steps.step_doubt import LeftOutErrors, fitted_doubt, quantiles, quantiles_for_a_source
from kilowait.lab.steps.step_models import StepFit, predictions_of
from kilowait.lab.steps.step_rounds import FAMILY, SOURCE, TYPE, StepRound, step_rounds
from kilowait.lab.steps.step_scores import PredictedSteps, StepScore, step_scores
from kilowait.predict.device_model.calibration import Calibration, Quantiles

FOLDS = {FAMILY: 3, SOURCE: 0, TYPE: 4}
"""How many times families and types are divided; a source is left out by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """M predictions of labels left out, as a user would ask for them: in seconds, with parts of doubt (M, parts).

    `group` says what was left out, and of which source and kind the label is, `round` (M,) what was left out together.
    `at_home` are the same predictions for the source's own boards where that was not left out, NaN elsewhere.
    """

    measured: FloatArray
    predicted: FloatArray
    at_home: FloatArray
    errors: LeftOutErrors
    kind: tuple[str, ...]
    program: tuple[str, ...]
    board: tuple[str, ...]
    round: IntArray

    @property
    def doubt(self) -> tuple[float, ...]:
        """The weights of the parts of doubt, of all groups."""
        return fitted_doubt(self.errors)

    @property
    def calibration(self) -> Calibration:
        """The ends of intervals: of types that were measured, and of new ones."""
        return calibrated(self.errors, self.doubt)

    @property
    def steps(self) -> PredictedSteps:
        """The predictions; intervals come from errors of the same novelty, of labels that are not in the round.

        So a family's are of other families, a source's of other sources, a type's of other types (and sources).
        """
        low, high = np.empty(len(self.measured)), np.empty(len(self.measured))
        for number in np.unique(self.round):
            rows = self.round == number
            others, novelty = self.errors.without(rows), self.errors.group[int(rows.argmax())].partition(" ")[0]
            doubt = fitted_doubt(others)
            ends, sigma = ends_of(novelty, others, doubt), np.sqrt(self.errors.doubts[rows] @ np.array(doubt))
            low[rows] = self.predicted[rows] * np.exp(ends.low * sigma)
            high[rows] = self.predicted[rows] * np.exp(ends.high * sigma)
        return PredictedSteps(
            measured=self.measured,
            predicted=self.predicted,
            low=low,
            high=high,
            program=self.program,
            board=self.board,
        )

    def scores(self) -> list[StepScore]:
        """A row a group; then the kinds of each source at home."""
        steps = self.steps
        names = [f"{group} | {kind}" for group, kind in zip(self.errors.group, self.kind, strict=True)]
        return [
            *step_scores(steps, self.errors.group),
            *step_scores(steps, names)[:-1],
            *self._home_scores(steps),
        ]

    def _home_scores(self, steps: PredictedSteps) -> list[StepScore]:
        pairs = zip(self.errors.group, self.kind, self.home, strict=True)
        names = [f"{group} | {kind} | its source known" for group, kind, home in pairs if home]
        return step_scores(self.steps_at_home(steps), names)[:-1]

    @property
    def home(self) -> Mask:
        """Which labels (M,) are of a source that was not left out."""
        return np.isfinite(self.at_home)

    def steps_at_home(self, steps: PredictedSteps) -> PredictedSteps:
        """Those of `steps` that `home` says, predicted for the source's own boards, ends as far from them."""
        ratio, known = self.at_home[self.home] / self.predicted[self.home], steps.taken(self.home)
        return replace(known, predicted=self.at_home[self.home], low=known.low * ratio, high=known.high * ratio)


def calibrated(errors: LeftOutErrors, doubt: Sequence[float]) -> Calibration:
    """Quantiles of errors where the type was measured, and where it is new, for hosts that nobody measured."""
    return Calibration(measured=ends_of(SOURCE, errors, doubt), new=ends_of(TYPE, errors, doubt))


def ends_of(novelty: str, errors: LeftOutErrors, doubt: Sequence[float]) -> Quantiles:
    """Quantiles of errors where that was left out; a new type's are those of new sources too, who ask for it."""
    if novelty == SOURCE:
        return quantiles_for_a_source(errors.of(SOURCE), doubt)
    return quantiles(errors.of(FAMILY) if novelty == FAMILY else errors.of(SOURCE, TYPE), doubt)


def validated(
    labels: Sequence[LabelledStep],
    fit: StepFit,
    seed: int,
    kept: Path,
    on_round: Callable[[str], None] = lambda _text: None,
) -> Validation:
    """Leave out kinds, sources and types in turn; `on_round` is told of each.

    What a round came to stays in the folder `kept`, under what it came from: a fit that was stopped goes on there.
    """
    parts: list[Validation] = []
    origin = digest(labels) + repr(fit)
    for novelty, count in FOLDS.items():
        for round_ in step_rounds(labels, novelty, count, seed):
            key = hashlib.sha256(origin.encode() + round_.tested.tobytes() + round_.train.tobytes()).hexdigest()
            tested = [label for label, is_tested in zip(labels, round_.tested, strict=True) if is_tested]
            path = kept / f"left_out-{key[:16]}.npz"
            if not path.exists():
                told = _predicted(labels, tested, fit, round_)
                np.savez(path, log_s=told["log_s"], doubts=told["doubts"], at_home=told["at_home"])
            parts.append(_of_round(tested, round_.novelty, len(parts), np.load(path)))
            on_round(f"{novelty} {len(parts)}")
    return _together(parts)


def digest(labels: Sequence[LabelledStep]) -> str:
    """SHA-256 of the labels: programs, types, sources, seconds."""
    rows = sorted((label.run.content_hash, label.gpu, label.source, label.seconds) for label in labels)
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _predicted(
    labels: Sequence[LabelledStep], tested: Sequence[LabelledStep], fit: StepFit, round_: StepRound
) -> dict[str, FloatArray]:
    """log seconds as a user asks and at home (NaN where the source was left out), and parts of doubt."""
    model = fit.fitted([label for label, is_train in zip(labels, round_.train, strict=True) if is_train])
    told = predictions_of(model, tested, anonymous=True)
    if round_.novelty == FAMILY:
        at_home = predictions_of(model, tested, anonymous=False).log_s
    else:
        at_home = np.full(len(tested), np.nan)
    return {"log_s": told.log_s, "doubts": told.doubts, "at_home": at_home}


def _of_round(tested: Sequence[LabelledStep], novelty: str, number: int, told: Mapping[str, FloatArray]) -> Validation:
    measured = np.array([label.seconds for label in tested])
    return Validation(
        measured=measured,
        predicted=np.exp(told["log_s"]),
        at_home=np.exp(told["at_home"]),
        errors=LeftOutErrors(
            error=np.log(measured) - told["log_s"],
            doubts=told["doubts"],
            group=[f"{novelty} left out: {label.source}" for label in tested],
            source=[label.source for label in tested],
            label=[f"{label.origin} {label.gpu}" for label in tested],
        ),
        kind=tuple(label.kind for label in tested),
        program=tuple(label.origin for label in tested),
        board=tuple(label.gpu for label in tested),
        round=np.full(len(tested), number),
    )


def _together(parts: Sequence[Validation]) -> Validation:
    return Validation(
        measured=np.concatenate([part.measured for part in parts]),
        predicted=np.concatenate([part.predicted for part in parts]),
        at_home=np.concatenate([part.at_home for part in parts]),
        errors=LeftOutErrors(
            error=np.concatenate([part.errors.error for part in parts]),
            doubts=np.concatenate([part.errors.doubts for part in parts]),
            group=[name for part in parts for name in part.errors.group],
            source=[name for part in parts for name in part.errors.source],
            label=[name for part in parts for name in part.errors.label],
        ),
        kind=tuple(kind for part in parts for kind in part.kind),
        program=tuple(name for part in parts for name in part.program),
        board=tuple(name for part in parts for name in part.board),
        round=np.concatenate([part.round for part in parts]),
    )

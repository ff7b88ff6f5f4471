"""Predictions and intervals of rows that no model behind them has seen, round by round."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray, Mask
from kilowait.core.errors import InputError
from kilowait.lab.evaluate.cross_validation import Inputs, ModelAnswer, Recipe
from kilowait.lab.evaluate.rounds import CalibrationRows, Round
from kilowait.predict.intervals import IntervalEnds, Residuals, fitted_scale, intervals

CHUNK = 16
"""Models asked for at once: a recipe may train them together, a progress bar moves between."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOut:
    """Predictions (N,) with the ends of 90% intervals, NaN where a row was not tested or has no interval.

    `wide` (N,) marks the rows that the recipe had less to say about; `borrowed` counts tested rows whose category had
    too few programs for an interval of its own.
    """

    predicted: FloatArray
    low: FloatArray
    high: FloatArray
    wide: Mask
    borrowed: int


def held_out(
    recipe: Recipe,
    inputs: Inputs,
    metric: str,
    rounds: Sequence[Round],
    *,
    calibrate: bool = True,
    by_device: bool = True,
    together: int = CHUNK,
    on_models: Callable[[int, int], None] = lambda done, total: None,
) -> HeldOut:
    """Predict every row that a round tests; with `calibrate` its interval too.

    `by_device` calibrates each device type on its own residuals, which a type that is new cannot have. `together`
    models are asked for at once, and `on_models` hears how many are trained. Raises InputError when a prediction is not
    finite.
    """
    labelled = np.isfinite(inputs.study.metrics[metric])
    masks = [r.train & labelled for r in rounds]
    masks += [c.train & labelled for r in rounds for c in (r.calibrations if calibrate else ())]
    models = _Models(recipe, inputs, metric, masks, together, on_models)
    size = len(labelled)
    result = HeldOut(
        predicted=np.full(size, np.nan),
        low=np.full(size, np.nan),
        high=np.full(size, np.nan),
        wide=np.zeros(size, dtype=np.bool_),
        borrowed=0,
    )
    borrowed = 0
    for round_ in rounds:
        rows = np.flatnonzero(round_.tested & labelled)
        answer = models.of(round_.train & labelled)
        result.predicted[rows], result.wide[rows] = answer.predicted[rows], _wide(answer)[rows]
        if calibrate and len(rows):
            ends = _ends(round_, models, inputs, metric, rows, answer, by_device)
            center = _log(answer.predicted[rows], models.floor)
            result.low[rows] = np.exp(np.minimum(ends.low, center))
            result.high[rows] = np.exp(np.maximum(ends.high, center))
            borrowed += ends.borrowed
    return HeldOut(predicted=result.predicted, low=result.low, high=result.high, wide=result.wide, borrowed=borrowed)


class _Models:
    """The answers of one recipe by training mask, each trained once."""

    def __init__(
        self,
        recipe: Recipe,
        inputs: Inputs,
        metric: str,
        masks: Sequence[Mask],
        together: int,
        on_models: Callable[[int, int], None],
    ) -> None:
        distinct = list({mask.tobytes(): mask for mask in masks}.values())
        self.floor = float(np.nanmin(inputs.study.metrics[metric])) / 10
        self._answers: dict[bytes, ModelAnswer] = {}
        for start in range(0, len(distinct), together):
            chunk = distinct[start : start + together]
            for mask, answer in zip(chunk, recipe(inputs, metric, chunk), strict=True):
                if not np.isfinite(answer.predicted[~mask]).all():
                    raise InputError(f"{metric}: a model of {int(mask.sum())} labels answered with NaN or infinity")
                self._answers[mask.tobytes()] = answer
            on_models(len(self._answers), len(distinct))

    def of(self, mask: Mask) -> ModelAnswer:
        """The answer of the model trained on exactly these rows."""
        return self._answers[mask.tobytes()]


def _log(predicted: FloatArray, floor: float) -> FloatArray:
    """Logarithms; a prediction <= 0 counts as a tenth of the smallest label, as in `accuracy`."""
    return np.log(np.where(predicted > 0, predicted, floor))


def _wide(answer: ModelAnswer) -> Mask:
    return np.zeros(len(answer.predicted), dtype=np.bool_) if answer.wide is None else answer.wide


def _ends(
    round_: Round, models: _Models, inputs: Inputs, metric: str, tested: IntArray, answer: ModelAnswer, by_device: bool
) -> IntervalEnds:
    """The intervals of a round's tested rows, in logarithms."""
    study = inputs.study
    usable = np.isfinite(study.metrics[metric]) & study.measured[metric]
    calibration_rows = [np.flatnonzero(c.held & usable) for c in round_.calibrations]
    answers = [models.of(c.train & np.isfinite(study.metrics[metric])) for c in round_.calibrations]
    logs = [_log(a.predicted, models.floor) for a in answers]
    truth = np.log(study.metrics[metric], where=usable, out=np.full(len(usable), np.nan))
    residual = [truth[rows] - log[rows] for rows, log in zip(calibration_rows, logs, strict=True)]
    scales = _scales(round_.calibrations, answers, logs, calibration_rows, residual)
    rows = np.concatenate(calibration_rows)
    device = study.device if by_device else np.zeros_like(study.device)
    wide = np.concatenate([_wide(a)[part] for a, part in zip(answers, calibration_rows, strict=True)])
    calibration = np.repeat(np.arange(len(calibration_rows)), [len(part) for part in calibration_rows])
    return intervals(
        Residuals(
            value=np.concatenate(residual),
            log_predicted=np.concatenate([log[part] for log, part in zip(logs, calibration_rows, strict=True)]),
            scale=np.concatenate([scale[part] for scale, part in zip(scales, calibration_rows, strict=True)]),
            calibration=calibration,
            cluster=study.script[rows],
            category=2 * device[rows] + wide,
            effect=None if by_device else study.device[rows],
        ),
        np.stack([log[tested] for log in logs]),
        np.stack([scale[tested] for scale in scales]),
        2 * device[tested] + _wide(answer)[tested],
    )


def _scales(
    calibrations: Sequence[CalibrationRows],
    answers: Sequence[ModelAnswer],
    logs: Sequence[FloatArray],
    calibration_rows: Sequence[IntArray],
    residual: Sequence[FloatArray],
) -> list[FloatArray]:
    """Each calibration's scale (N,): the recipe's own sigma, or a small model of the other calibrations' residuals."""
    scales = []
    for c, answer in enumerate(answers):
        others = [o for o in range(len(calibrations)) if o != c and len(calibration_rows[o])]
        if answer.sigma is not None:
            scales.append(answer.sigma)
        elif not others:
            scales.append(np.ones_like(logs[c]))
        else:
            log_predicted = np.concatenate([logs[o][calibration_rows[o]] for o in others])
            scales.append(fitted_scale(np.concatenate([residual[o] for o in others]), log_predicted, logs[c]))
    return scales

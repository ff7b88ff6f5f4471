"""Run times of a study's labels from dry runs and specification sheets: the device model, fold by fold.

A device type without labels in a fold is predicted from its sheet alone; a program with labels on other types is
anchored by them. A program without a usable dry run gets what another recipe said of it, or else the geometric
mean of its type. A dry run that ended early is a lower bound: nothing is learned from it, and the larger of the two
answers stands. Both kinds of programs are marked.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kilowait.core.arrays import FloatArray, Mask
from kilowait.core.errors import InputError
from kilowait.core.gpu_type import GpuType
from kilowait.lab.evaluate.cross_validation import Inputs, ModelAnswer, Recipe
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.predict.device_model.choose import chosen_terms
from kilowait.predict.device_model.efficiency import VARIED, Terms
from kilowait.predict.device_model.learned_weights import MeasuredTimes
from kilowait.predict.device_model.model import DeviceModel, Estimate
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.work import READING
from kilowait.predict.device_model.workload import Workload
from kilowait.predict.dryrun.record import Completeness, DryRun

MANY_WORKS = 2000
"""Distinct works above which a recipe merges those of like shape."""
GRID = 1.5
"""How coarsely: 516 generated training scripts have 14,458 works, and 3,425 of them on this grid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationPredictions:
    """Predictions of all N labels in seconds, how far off their logarithms may be, and which had no whole dry run."""

    predicted: FloatArray
    sigma: FloatArray
    wide: Mask


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """What the device model reads: dry runs by content hash, and the sheet of each device type by its name.

    A type whose sheet is None must be a CPU type, cpu-N. `grid` as in `Workload.of`.
    """

    dry_runs: Mapping[str, DryRun | None]
    devices: Mapping[str, GpuType | None]
    terms: Terms | None = None
    grid: float = 0.0

    def sheet(self, name: str) -> Specification:
        """The specification of a device type, under the study's name for it."""
        gpu = self.devices.get(name)
        return Specification.named(name) if gpu is None else Specification.of(gpu)

    def usable(self, script: str) -> DryRun | None:
        """The dry run of a script, None where there is none to learn or predict from."""
        run = self.dry_runs.get(script)
        return run if run is not None and run.usable else None


class Fits:
    """What device models said of one study's programs, by training mask: recipes that ask alike share their models."""

    def __init__(self) -> None:
        self._asked: tuple[object, ...] = ()
        self._alive: tuple[object, ...] = ()  # so that no other study takes over an id
        self._made: dict[bytes, Estimate] = {}

    def of(self, programs: Programs, study: Dataset, mask: Mask) -> Estimate:
        """The estimate (runs, D) of the usable runs, by a model of the labels in `mask` (N,); fitted once."""
        source_key = (id(programs.dry_runs), id(study), programs.terms, programs.grid)
        if source_key != self._asked:
            self._asked, self._made, self._alive = source_key, {}, (programs.dry_runs, study)
        key = mask.tobytes()
        if key not in self._made:
            self._made[key] = _estimate(programs, study, mask)
        return self._made[key]


def by_operations(
    programs: Programs,
    study: Dataset,
    metric: str,
    train: Sequence[Mask],
    otherwise: Sequence[FloatArray] | None = None,
    fits: Fits | None = None,
) -> list[OperationPredictions]:
    """One model a mask of `train` (N,); `otherwise` are predictions (N,) for programs without a usable dry run.

    Models that `fits` knows are not fitted again.

    Raises InputError for another metric than runtime_s, and when no training label has a usable dry run.
    """
    if metric != "runtime_s":
        raise InputError(f"the device model predicts runtime_s, not {metric}; energy follows from its power model")
    fits = fits or Fits()
    fallbacks = [None] * len(train) if otherwise is None else otherwise
    return [
        _fold(programs, study, mask, fallback, fits.of(programs, study, mask))
        for mask, fallback in zip(train, fallbacks, strict=True)
    ]


def _estimate(programs: Programs, study: Dataset, mask: Mask) -> Estimate:
    runs = [run for script in study.scripts if (run := programs.usable(script)) is not None]
    return _fitted(programs, study, mask).predict(runs, [programs.sheet(name) for name in study.device_types])


def _fold(
    programs: Programs, study: Dataset, mask: Mask, otherwise: FloatArray | None, estimate: Estimate
) -> OperationPredictions:
    runs = [programs.usable(script) for script in study.scripts]
    has_run = np.array([run is not None for run in runs])
    whole = np.array([_whole(run) for run in runs])
    with_run = np.flatnonzero(has_run)
    mean, spread = _plain(study, mask)
    table, sigma = (np.tile(row, (len(runs), 1)) for row in (mean, spread))
    table[with_run], sigma[with_run] = estimate.log_s, estimate.sigma
    predicted, wide = np.exp(table[study.script, study.device]), ~whole[study.script]
    fallback = np.exp(mean)[study.device] if otherwise is None else otherwise
    predicted[wide] = np.maximum(fallback, np.where(has_run[study.script], predicted, 0.0))[wide]
    return OperationPredictions(predicted=predicted, sigma=sigma[study.script, study.device], wide=wide)


def _whole(run: DryRun | None) -> bool:
    return run is not None and run.usable and run.completeness == Completeness.WHOLE


def _fitted(programs: Programs, study: Dataset, mask: Mask) -> DeviceModel:
    return device_model_of(programs, *_training(programs, study, mask))


def device_model_of(
    programs: Programs, runs: Sequence[DryRun], sheets: Sequence[Specification], measured: MeasuredTimes
) -> DeviceModel:
    """The model of these run times; records of GPU programs are read with precision, memory format and pass."""
    if all(run.target == "cuda" for run in runs):
        terms = programs.terms or VARIED
        return DeviceModel.fit(runs, sheets, measured, terms=terms, grid=programs.grid, reading=READING, robust=True)
    return DeviceModel.fit(runs, sheets, measured, terms=programs.terms, grid=programs.grid)


def _training(
    programs: Programs, study: Dataset, mask: Mask
) -> tuple[list[DryRun], list[Specification], MeasuredTimes]:
    """The labels of `mask` (N,) whose programs have whole dry runs; raises InputError where there are none."""
    runs = [programs.usable(script) for script in study.scripts]
    mask = mask & np.array([_whole(run) for run in runs])[study.script]
    if not mask.any():
        raise InputError("no training label has a whole dry run; run kilowait lab dryrun over the corpus")
    scripts, program = np.unique(study.script[mask], return_inverse=True)
    types, device = np.unique(study.device[mask], return_inverse=True)
    return (
        [run for i in scripts if (run := runs[i]) is not None],
        [programs.sheet(study.device_types[j]) for j in types],
        MeasuredTimes(program, device, np.log(study.metrics["runtime_s"][mask])),
    )


def _plain(study: Dataset, mask: Mask) -> tuple[FloatArray, FloatArray]:
    """Mean and spread of the log labels of each type (D,), those of all where a type has none."""
    log_s = np.log(study.metrics["runtime_s"])
    all_log_s = log_s[mask]
    by_type = [log_s[mask & (study.device == j)] for j in range(len(study.device_types))]
    mean = np.array([type_log_s.mean() if len(type_log_s) else all_log_s.mean() for type_log_s in by_type])
    spread = np.array([type_log_s.std() if len(type_log_s) > 1 else all_log_s.std() for type_log_s in by_type])
    return mean, np.maximum(spread, 0.1)


def grid_of(runs: Iterable[DryRun | None]) -> float:
    """Works are merged where there are too many for a kernel over all pairs of them."""
    usable = [run for run in runs if run is not None and run.usable]
    return GRID if Workload.of(usable).size > MANY_WORKS else 0.0


def nested_recipe(seed: int) -> Recipe:
    """The device model with scales chosen anew from each training set (`device_model.choose`)."""

    def answer(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
        programs = Programs(dry_runs=inputs.dry_runs, devices=inputs.devices, grid=grid_of(inputs.dry_runs.values()))
        answers = []
        for mask in train:
            refitted = replace(programs, terms=chosen_terms(*_training(programs, inputs.study, mask), seed=seed))
            (predictions,) = by_operations(refitted, inputs.study, metric, [mask])
            answers.append(ModelAnswer(predicted=predictions.predicted, sigma=predictions.sigma, wide=predictions.wide))
        return answers

    return answer


def combined_recipe(otherwise: Recipe | None = None, fits: Fits | None = None) -> Recipe:
    """The device model, and `otherwise` for programs without a whole dry run; `fits` are shared."""

    def answer(inputs: Inputs, metric: str, train: Sequence[Mask]) -> list[ModelAnswer]:
        programs = Programs(dry_runs=inputs.dry_runs, devices=inputs.devices, grid=grid_of(inputs.dry_runs.values()))
        needs_fallback = otherwise is not None and not all(_whole(inputs.dry_runs.get(s)) for s in inputs.study.scripts)
        fallbacks = (
            [a.predicted for a in otherwise(inputs, metric, train)]
            if otherwise is not None and needs_fallback
            else None
        )
        predictions = by_operations(programs, inputs.study, metric, train, fallbacks, fits)
        return [
            ModelAnswer(predicted=prediction.predicted, sigma=prediction.sigma, wide=prediction.wide)
            for prediction in predictions
        ]

    return answer

"""The numbers of an evaluation, as plain values: by device type, over all of them, by family, and for the choice."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from kilowait.core.arrays import FloatArray, Mask
from kilowait.core.errors import InputError
from kilowait.lab.evaluate.coverage import coverage
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.lab.evaluate.device_choice import choice, majority
from kilowait.lab.evaluate.held_out import HeldOut
from kilowait.lab.evaluate.paired import paired
from kilowait.predict.accuracy import accuracy

OVER_S = 1e-3
"""Programs over this measured time are scored by themselves too: below, launches and the host decide."""

KEYS = ("r2_log", "mdape", "mape", "spearman", "coverage90", "width90", "n")
"""What stands for every device type and overall, and again under over_1ms."""

Scores = dict[str, Any]


def summary(study: Dataset, metric: str, found: HeldOut) -> Scores:
    """{"devices": {NAME: scores}, "overall": scores}, scores having `KEYS` and, under over_1ms, `KEYS` again."""
    mask = scorable(study, metric, found)
    devices = {
        name: _scores(study, metric, found, mask & (study.device == i)) for i, name in enumerate(study.device_types)
    }
    return {"devices": devices, "overall": _scores(study, metric, found, mask)}


def details(study: Dataset, metric: str, found: HeldOut, pair: Sequence[str], seed: int) -> Scores:
    """`summary`, and the same by family, the intervals' exact coverage, and which of `pair` is faster."""
    all_rows = scorable(study, metric, found)
    family = np.array(study.row_keys(study.families))
    slices = {name: all_rows & (family == name) for name in sorted(set(family[all_rows].tolist()))}
    whole = {"overall": all_rows, **{d: all_rows & (study.device == i) for i, d in enumerate(study.device_types)}}
    return {
        **summary(study, metric, found),
        "families": {name: _cell(study, metric, found, mask) for name, mask in slices.items()},
        "coverage": {name: _covered(study, metric, found, mask) for name, mask in {**whole, **slices}.items()},
        "wide": int((found.wide & all_rows).sum()),
        "borrowed": found.borrowed,
        "choice": picks(study, metric, found.predicted, pair, seed),
    }


def against(study: Dataset, metric: str, found: Mapping[str, HeldOut], seed: int) -> dict[str, Scores]:
    """Each recipe compared with the first, on the labels that both predict."""
    first = next(iter(found.values()))
    shared = {
        name: scorable(study, metric, first) & scorable(study, metric, held_out) for name, held_out in found.items()
    }
    truth = study.metrics[metric]
    return {
        name: asdict(paired(truth[rows], found[name].predicted[rows], first.predicted[rows], study.script[rows], seed))
        for name, rows in shared.items()
    }


def scorable(study: Dataset, metric: str, found: HeldOut) -> Mask:
    """Rows that were tested and whose label was measured."""
    mask: Mask = study.measured[metric] & np.isfinite(found.predicted) & np.isfinite(study.metrics[metric])
    return mask


def _scores(study: Dataset, metric: str, held_out: HeldOut, mask: Mask) -> Scores:
    over_1ms = mask & (study.metrics["runtime_s"] > OVER_S)
    return {**_cell(study, metric, held_out, mask), "over_1ms": _cell(study, metric, held_out, over_1ms)}


def _cell(study: Dataset, metric: str, held_out: HeldOut, mask: Mask) -> Scores:
    """One slice's `KEYS`; None where a number is undefined (no rows, no intervals, nothing that varies)."""
    if not mask.any():
        return {**dict.fromkeys(KEYS), "n": 0}
    scores = accuracy(study.metrics[metric][mask], held_out.predicted[mask])
    covered = _covered(study, metric, held_out, mask) or {"share": None, "width": None}
    return {
        "r2_log": scores.r2_log,
        "mdape": scores.median_ape,
        "mape": scores.mape,
        "spearman": scores.spearman,
        "coverage90": covered["share"],
        "width90": covered["width"],
        "n": scores.n,
    }


def _covered(study: Dataset, metric: str, held_out: HeldOut, mask: Mask) -> Scores | None:
    rows = mask & np.isfinite(held_out.low)
    if not rows.any():
        return None
    truth, ends = study.metrics[metric][rows], (held_out.low[rows], held_out.high[rows])
    return asdict(coverage(truth, *ends, study.script[rows]))


def picks(study: Dataset, metric: str, predicted: FloatArray, pair: Sequence[str], seed: int) -> Scores | None:
    """Which of two device types is faster, for all programs measured on both and for those over 1 ms on the first.

    Beside each stands the majority's constant answer. None where the study lacks one of the types or the choice is
    the same for all.
    """
    times = both_sides(study, metric, predicted, pair)
    if times is None:
        return None
    measured, estimates = times
    slices = {"all": np.ones(len(measured), dtype=np.bool_), "over_1ms": measured[:, 0] > OVER_S}
    choices = {name: _pick(measured[mask], estimates[mask], seed) for name, mask in slices.items()}
    return {"pair": list(pair), **choices}


def _pick(measured: FloatArray, estimates: FloatArray, seed: int) -> Mapping[str, Any] | None:
    try:
        return {"picks": asdict(choice(measured, estimates, seed)), "majority": asdict(majority(measured, seed))}
    except InputError:
        return None  # one type is the faster for all: there is nothing to choose, and the report says so


def both_sides(
    study: Dataset, metric: str, predicted: FloatArray, pair: Sequence[str]
) -> tuple[FloatArray, FloatArray] | None:
    """Measured and predicted (n, 2) of the programs that were tested and measured on both types of `pair`."""
    if not set(pair) <= set(study.device_types):
        return None
    columns = []
    for values in (study.metrics[metric], predicted):
        table = np.full((len(study.scripts), len(study.device_types)), np.nan)
        mask = study.measured[metric] & np.isfinite(predicted)
        table[study.script[mask], study.device[mask]] = values[mask]
        columns.append(table[:, [study.device_types.index(name) for name in pair]])
    rows = np.isfinite(columns[0]).all(1) & np.isfinite(columns[1]).all(1)
    return (columns[0][rows], columns[1][rows]) if rows.any() else None

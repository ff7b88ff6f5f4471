"""What a prediction of a step has to beat: averages, neighbours, formulas and models of others, on the same labels.

Each baseline is given which labels it may learn from and which it is asked for, and answers in seconds; NaN where it
has nothing to go by. The models of others are written from their papers, read at the operations of a dry run, and
learn from the same labels as kilowait's; they are not the authors' programs.
"""

from collections.abc import Callable, Mapping

import numpy as np
from scipy.optimize import nnls

from kilowait.core.arrays import FloatArray, Mask
from kilowait.lab.steps.layer_network import layer_network
from kilowait.lab.steps.step_works import LAYERS, StepWorks

StepBaseline = Callable[[StepWorks, Mask, Mask], FloatArray]
"""Labels (N,) to learn from, those asked for (N,), seconds of these (M,)."""
TORCH_SHARE = 0.75
"""Of the peak that PyTorch's RuntimeEstimator counts on; it takes FLOPs as half as many multiplications."""
ENOUGH = 30
"""Labels of a type with which a polynomial of its own is fitted."""


def mean(steps: StepWorks, train: Mask, tested: Mask) -> FloatArray:
    """The geometric mean of the type's times; of all where it has none."""
    log_s, everywhere = np.log(steps.seconds), float(np.log(steps.seconds[train]).mean())
    of_type = [
        log_s[train & (steps.type == t)].mean() if (train & (steps.type == t)).any() else everywhere
        for t in range(len(steps.sheets))
    ]
    return np.asarray(np.exp(np.array(of_type)[steps.type[tested]]))


def nearest(steps: StepWorks, train: Mask, tested: Mask) -> FloatArray:
    """The time of the label that is nearest in FLOPs, bytes, launches, precision, pass and the type's sheet."""
    columns = steps.load.columns
    amounts = np.stack([columns.flops, columns.bytes_moved, columns.kernels], axis=1) * steps.launched[:, None]
    totals = np.log(np.maximum(steps.summed(amounts), 1.0))
    weight = (columns.bytes_moved * steps.launched)[:, None] * np.stack([steps.half, steps.backward], axis=1)
    shares = steps.summed(weight) / np.exp(totals[:, 1:2])
    sheets = np.log([[s.fp32_flops, s.half_flops, s.bandwidth] for s in steps.sheets])
    x = np.concatenate([totals[steps.program], 3 * shares[steps.program], 2 * sheets[steps.type]], axis=1)
    distance = ((x[tested][:, None, :] - x[train][None, :, :]) ** 2).sum(2)
    return np.asarray(steps.seconds[train][distance.argmin(1)])


def neuralpower(steps: StepWorks, train: Mask, tested: Mask) -> FloatArray:
    """NeuralPower (Cai et al. 2017): a step is the sum of its layers, each a polynomial of its sizes, FLOPs and bytes.

    One polynomial a class of layers and a type, without negative terms; a type with few labels has that of all types,
    whose FLOPs and bytes are counted in seconds of the sheet.
    """
    terms = _terms(steps)
    found = np.full(int(tested.sum()), np.nan)
    few = [t for t in range(len(steps.sheets)) if (train & (steps.type == t)).sum() < ENOUGH]
    for t in set(range(len(steps.sheets))) - set(few):
        rows = steps.type == t
        found[rows[tested]] = _polynomial(terms, steps.seconds, train & rows, tested & rows)
    others = np.isin(steps.type, few)
    if (others & tested).any():
        found[others[tested]] = _polynomial(terms, steps.seconds, train, tested & others)
    return found


def _polynomial(terms: FloatArray, seconds: FloatArray, train: Mask, tested: Mask) -> FloatArray:
    """Non-negative least squares of relative errors on terms (N, terms)."""
    if not tested.any():
        return np.zeros(0)
    scaled = terms[train] / seconds[train][:, None]
    norm = np.sqrt((scaled**2).sum(0))
    size = np.where(norm > 0, norm, np.inf)  # a term that no label has counts for nothing
    gram, target = (scaled / size).T @ (scaled / size), (scaled / size).sum(0)
    factor = np.linalg.cholesky(gram + 1e-9 * np.eye(len(gram)))  # the same least squares, of as many rows as columns
    weights, _ = nnls(factor.T, np.linalg.solve(factor, target), maxiter=50 * len(gram))
    return np.asarray(np.maximum(terms[tested] / size @ weights, 1e-9))


def _terms(steps: StepWorks) -> FloatArray:
    """Sums of the polynomial's terms (N, terms) of all labels, a set a class of layers."""
    columns, (m, n, k) = steps.load.columns, steps.sides.T
    plain = np.stack([np.ones(len(m)), m, n, k, m * n, n * k, m * k], axis=1)
    kind = steps.launched[:, None] * (steps.layer[:, None] == np.arange(len(LAYERS)))
    found = [steps.summed(kind[:, i : i + 1] * plain)[steps.program] for i in range(len(LAYERS))]
    for amount, seconds in ((columns.flops, 1 / steps.rates), (columns.bytes_moved, 1 / steps.bandwidths[None, :])):
        work_seconds = amount[:, None] * seconds
        by_layer = [steps.summed(kind[:, i : i + 1] * work_seconds) for i in range(len(LAYERS))]
        found.append(np.stack([one[steps.program, steps.type] for one in by_layer], axis=1))
    return np.concatenate(found, axis=1)


def roofline(steps: StepWorks, train: Mask, tested: Mask) -> FloatArray:
    """PyTorch's RuntimeEstimator in its roofline mode: the longer of FLOPs and bytes by the sheet, kernel by kernel.

    Products and convolutions alone have FLOPs there, and launches take no time.
    """
    columns = steps.load.columns
    counted = np.isin(steps.layer, [LAYERS.index(name) for name in ("conv", "gemm", "attention")])
    compute = np.where(counted, columns.flops, 0.0)[:, None] / 2 / (TORCH_SHARE * steps.rates)
    transfer = columns.bytes_moved[:, None] / steps.bandwidths[None, :]
    seconds = steps.summed(np.maximum(compute, transfer) * steps.launched[:, None])
    return np.asarray(seconds[steps.program[tested], steps.type[tested]])


def habitat(steps: StepWorks, train: Mask, tested: Mask) -> FloatArray:
    """Like Habitat (Yu et al. 2021): the program's own time on the likest type that it was measured on, scaled.

    Every operation scales with bandwidth and peak, mixed by its intensity against the ridge of the type that it goes
    to; its share of the time is the roofline's. Where the same program was measured nowhere else there is none.
    """
    likeness = np.stack([sheet.likeness() for sheet in steps.sheets])
    apart = ((likeness[:, None] - likeness[None]) ** 2).sum(2)
    origins = np.array(steps.origin)
    found = np.full(int(tested.sum()), np.nan)
    for i, row in enumerate(np.flatnonzero(tested)):
        others = np.flatnonzero(train & (origins == origins[row]) & (steps.type != steps.type[row]))
        if len(others):
            source = others[apart[steps.type[row], steps.type[others]].argmin()]
            found[i] = steps.seconds[source] * _scaling(steps, int(row), int(source))
    return found


def _scaling(steps: StepWorks, row: int, source: int) -> float:
    columns, here = steps.load.columns, steps.load.program == steps.program[row]
    work, count = steps.load.work[here], steps.load.count[here] * steps.launched[steps.load.work[here]]
    to, origin = steps.type[row], steps.type[source]
    rates, bandwidths = steps.rates[work], steps.bandwidths
    seconds = count * np.maximum(columns.flops[work] / rates[:, origin], columns.bytes_moved[work] / bandwidths[origin])
    over = columns.flops[work] / columns.bytes_moved[work] / (rates[:, to] / bandwidths[to])
    memory = np.where(over < 1, 1 - 0.5 * over, 0.5 / np.maximum(over, 1e-9))
    factor = (bandwidths[origin] / bandwidths[to]) ** memory * (rates[:, origin] / rates[:, to]) ** (1 - memory)
    return float((seconds * factor).sum() / seconds.sum())


STEP_BASELINES: Mapping[str, StepBaseline] = {
    "mean": mean,
    "nearest": nearest,
    "NeuralPower": neuralpower,
    "Justus et al.": layer_network,
    "PyTorch RuntimeEstimator (roofline)": roofline,
    "Habitat-like scaling": habitat,
}

"""What no schedule of a sample can beat: the least energy, and the least waiting by a Lagrangian relaxation.

Job i submitted at r_i starts at S_i on one type j that it may use, holds a_ij of the type's N_j GPUs for t_ij seconds
and uses e_ij kWh. It costs S_i - r_i + w e_ij seconds, where w is what a kWh is worth in seconds of waiting (0 for
waiting alone). Let lambda_j(u) >= 0 be any price of a GPU of type j at time u. In a schedule the GPUs held at u are at
most N_j; multiplied by the price, integrated over time and added to the cost, that gives

  cost >= L(lambda) = sum_i min over (j, s >= r_i) of (s - r_i + w e_ij + a_ij * (lambda_j over [s, s + t_ij]))
                      - sum_j N_j * (lambda_j over all time),

where "over" is an integral.

So L bounds every schedule whatever the prices, and whatever the solver that found them. This is the Lagrangian dual of
the time-indexed program: Dyer and Wolsey, Discrete Applied Mathematics 26, 1990; with several resource units a job,
Christofides, Alvarez-Valdes and Tamarit, EJOR 29, 1987, and Moehring, Schulz, Stork and Uetz, Management Science 49,
2003. It bounds starts and not completions, so a job that runs long on a slow type and never waits costs nothing.

Prices are constant between the points of a grid (submissions, ends without waiting, starts and ends under shortest job
first, thinned evenly), where the minimum over s is at r_i or where s or s + t_ij meets a grid point. They come from
column generation (van den Akker, Hurkens and Savelsbergh, INFORMS J. on Computing 12, 2000) with smoothed prices
(Wentges, International Transactions in Operational Research 4, 1997); the best L on the way counts.

Where GPUs are never short the bound is 0, and some schedule reaches it. Under load it lies below the optimum: it
splits jobs between starts and types, so GPUs that a wide job cannot use are not lost, and the grid averages over time.
Shares of a GPU count as fractions, and nodes as one: the bound holds for them too, and lies further below.
"""

import math
from dataclasses import dataclass, replace
from itertools import takewhile

import numpy as np
import numpy.typing as npt
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from kilowait.cluster.advance import advance
from kilowait.cluster.events import GpusJoined
from kilowait.cluster.state import Cluster
from kilowait.core.arrays import FloatArray
from kilowait.lab.backtest.scenario.paper_scenario import Sample
from kilowait.policies.sjf import sjf
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Run, Submission

Indices = npt.NDArray[np.intp]

MOST_POINTS = 256
"""Points of the grid; twice as many raise the bound of the paper's samples by 1 to 5%."""
FEWEST_POINTS = 16
PRICED_A_ROUND = 200_000
"""Pairs of job and type times grid points: what a round's time grows with."""
ROUNDS = 40
CLOSE = 0.005
"""Prices are good enough where the bound is within this share of the best that the grid allows."""
SMOOTHING = 0.5
ROUNDING = 1e-9
"""Share of the largest sum in L that its rounding cannot reach."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What every schedule of a sample uses and waits at least: kWh of the jobs, seconds of waiting in sum."""

    energy_kwh: float
    wait_s: float

    @classmethod
    def of(cls, sample: Sample) -> "Bounds":
        """Both bounds of a sample; each alone, for no schedule need reach both."""
        return cls(energy_kwh=greenest_kwh(sample), wait_s=wait_bound_s(sample))


def greenest_kwh(sample: Sample) -> float:
    """The energy in kWh of the jobs that can run with every job on its cheapest type, as if GPUs were unlimited."""
    usable = _usable(_any_run(sample), sample)
    return math.fsum(min(s.truth[t].energy_kwh for t in types) for s, types in usable)


def wait_bound_s(sample: Sample) -> float:
    """Seconds that the jobs which can run must wait in sum, whatever the schedule; 0 where nothing is proved."""
    return relax(sample).bound_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Every job with every type it may use, as arrays of one length; `job` and `type` are positions."""

    ids: tuple[str, ...]
    types: tuple[str, ...]
    job: Indices
    type: Indices
    gpus: FloatArray
    release_s: FloatArray
    runtime_s: FloatArray
    price_s: FloatArray

    def cheapest(self, cost_s: FloatArray) -> FloatArray:
        """The least of a cost a pair for every job."""
        least = np.full(len(self.ids), np.inf)
        np.minimum.at(least, self.job, cost_s)
        return least


@dataclass(frozen=True, slots=True, kw_only=True)
class Relaxation:
    """The bound in seconds (waiting and priced energy), and the prices it is proved with.

    `paid_s` has shape (types, points): a GPU's price from the first point of `grid_s` on, integrated.
    """

    bound_s: float
    pairs: Pairs
    grid_s: FloatArray
    paid_s: FloatArray

    def least_excess_s(self, rows: Indices, low_s: FloatArray, high_s: FloatArray) -> FloatArray:
        """What schedules that start a pair within [low, high] cost above the bound at least, shape (rows, slots)."""
        pairs = self.pairs
        least = pairs.cheapest(_best_starts(pairs, self.grid_s, self.paid_s)[0])[pairs.job[rows]]
        starts = np.broadcast_to(low_s, (len(rows), len(low_s)))
        cost_s = _priced(pairs, rows, starts, self.grid_s, self.paid_s)
        for row, j in enumerate(pairs.type[rows]):  # GPUs between low and high may not be held
            paid = np.interp(high_s, self.grid_s, self.paid_s[j]) - np.interp(low_s, self.grid_s, self.paid_s[j])
            cost_s[row] -= pairs.gpus[rows[row]] * paid
        return np.asarray(cost_s - least[:, None])


def relax(sample: Sample, wait_s_per_kwh: float = 0.0) -> Relaxation:
    """The relaxation of a sample at `wait_s_per_kwh` seconds a kWh; jobs that are refused are left out."""
    run = _any_run(sample)
    pairs = _pairs(sample, run, wait_s_per_kwh)
    grid_s = _grid(run, pairs)
    capacity = np.array([float(sample.inventory[name]) for name in pairs.types])
    best = Relaxation(bound_s=-np.inf, pairs=pairs, grid_s=grid_s, paid_s=np.zeros((len(capacity), len(grid_s))))
    best = _better(best, best.paid_s, capacity)[0]
    if not pairs.ids:
        return best
    columns = _Columns.of(run, pairs)
    for _ in range(ROUNDS):
        found = _master(pairs, columns, grid_s, capacity)
        if found is None or found[0] - best.bound_s <= CLOSE * abs(found[0]):
            break
        for share in (SMOOTHING, 0.0):
            best, added = _better(best, share * best.paid_s + (1 - share) * found[1], capacity)
            columns = columns.joined(added)
    return best


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    """Candidate starts: a row of `Pairs` and a time each."""

    pair: Indices
    start_s: FloatArray

    @classmethod
    def of(cls, run: Run, pairs: Pairs) -> "_Columns":
        """What a run did, which is feasible, and every pair without waiting."""
        rows = {key: row for row, key in enumerate(zip(pairs.job.tolist(), pairs.type.tolist(), strict=True))}
        job, kind = ({name: k for k, name in enumerate(names)} for names in (pairs.ids, pairs.types))
        ran = [rows[job[p.job_id], kind[p.gpu_type]] for p in run.placements]
        starts = np.array([p.start_s for p in run.placements])
        unhindered = cls(pair=np.arange(len(pairs.job)), start_s=pairs.release_s)
        return unhindered.joined(cls(pair=np.array(ran, dtype=np.intp), start_s=starts))

    def joined(self, other: "_Columns") -> "_Columns":
        """Both, each column once."""
        both = np.stack([np.concatenate([self.pair, other.pair]), np.concatenate([self.start_s, other.start_s])])
        pair, start_s = np.unique(both, axis=1)
        return _Columns(pair=pair.astype(np.intp), start_s=start_s)


def told(sample: Sample) -> Sample:
    """The sample with the truth as predictions, on the types that policies see one for."""
    submissions = (replace(s, seen={t: s.truth[t] for t in s.seen if t in s.truth}) for s in sample.submissions)
    return replace(sample, submissions=tuple(submissions))


def _any_run(sample: Sample) -> Run:
    """Some run of the sample: it says which jobs are refused, and is a first schedule."""
    return simulate(told(sample).submissions, sample.inventory, sjf(), nodes=sample.nodes)


def _usable(run: Run, sample: Sample) -> list[tuple[Submission, tuple[str, ...]]]:
    """The jobs that ran, each with the types that the cluster lets it use."""
    cluster = Cluster(order=tuple(sample.inventory))
    for event in takewhile(lambda event: isinstance(event, GpusJoined), run.log):  # they come first
        advance(cluster, event)
    ran = (s for s in sample.submissions if s.job.job_id not in run.refused)
    return [(s, tuple(cluster.possible(s.job, s.seen))) for s in ran]


def _pairs(sample: Sample, run: Run, wait_s_per_kwh: float) -> Pairs:
    usable, types = _usable(run, sample), tuple(sample.inventory)
    rows = [(i, types.index(name), s) for i, (s, names) in enumerate(usable) for name in names]

    def column(numbers: list[float]) -> FloatArray:
        return np.array(numbers, dtype=float)

    return Pairs(
        ids=tuple(s.job.job_id for s, _ in usable),
        types=types,
        job=np.array([i for i, _, _ in rows], dtype=np.intp),
        type=np.array([j for _, j, _ in rows], dtype=np.intp),
        gpus=column([s.job.amount_on(types[j]) for _, j, s in rows]),
        release_s=column([s.job.submit_s for _, _, s in rows]),
        runtime_s=column([s.truth[types[j]].runtime_s for _, j, s in rows]),
        price_s=column([wait_s_per_kwh * s.truth[types[j]].energy_kwh for _, j, s in rows]),
    )


def _grid(run: Run, pairs: Pairs) -> FloatArray:
    """Where prices may change: submissions, ends without waiting, and starts and ends of `run`, thinned as needed."""
    ran = [time_s for p in run.placements for time_s in (p.start_s, p.end_s)]
    origin = [0.0, 1.0]  # so that there is an interval
    points = np.unique(np.concatenate([origin, ran, pairs.release_s, pairs.release_s + pairs.runtime_s]))
    most = max(FEWEST_POINTS, min(MOST_POINTS, PRICED_A_ROUND // max(1, len(pairs.job))))
    return points if len(points) <= most else np.unique(np.quantile(points, np.linspace(0, 1, most)))


def _priced(pairs: Pairs, rows: Indices, start_s: FloatArray, grid_s: FloatArray, paid_s: FloatArray) -> FloatArray:
    """Waiting, priced energy and paid GPUs of pairs `rows` started at `start_s` (shape (rows, ...)), in seconds."""
    spread = (slice(None),) + (None,) * (start_s.ndim - 1)
    end_s = start_s + pairs.runtime_s[rows][spread]
    paid = np.empty_like(start_s)
    for j in np.unique(pairs.type[rows]):
        mine = pairs.type[rows] == j
        paid[mine] = np.interp(end_s[mine], grid_s, paid_s[j]) - np.interp(start_s[mine], grid_s, paid_s[j])
    waited_s = start_s - pairs.release_s[rows][spread]
    return np.asarray(waited_s + pairs.price_s[rows][spread] + pairs.gpus[rows][spread] * paid)


def _best_starts(pairs: Pairs, grid_s: FloatArray, paid_s: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The least cost of every pair and the start that has it: at its submission, or where an end meets the grid."""
    points = np.broadcast_to(grid_s, (len(pairs.job), len(grid_s)))
    starts = np.concatenate([points, points - pairs.runtime_s[:, None]], axis=1)
    starts = np.maximum(starts, pairs.release_s[:, None])
    cost_s = _priced(pairs, np.arange(len(pairs.job)), starts, grid_s, paid_s)
    best = (np.arange(len(pairs.job)), cost_s.argmin(axis=1))
    return cost_s[best], starts[best]


def _better(known: Relaxation, paid_s: FloatArray, capacity: FloatArray) -> tuple[Relaxation, _Columns]:
    """The better of what is known and L at these prices, and each job's cheapest starts at them."""
    pairs, grid_s = known.pairs, known.grid_s
    cost_s, start_s = _best_starts(pairs, grid_s, paid_s)
    least = pairs.cheapest(cost_s)
    rent_s = float(capacity @ paid_s[:, -1])
    bound_s = math.fsum(least) - rent_s
    bound_s = max(0.0, bound_s - ROUNDING * (math.fsum(np.abs(least)) + rent_s))
    chosen = cost_s <= least[pairs.job] + ROUNDING * (1 + least[pairs.job])
    columns = _Columns(pair=np.flatnonzero(chosen), start_s=start_s[chosen])
    if bound_s <= known.bound_s:
        return known, columns
    return Relaxation(bound_s=bound_s, pairs=pairs, grid_s=grid_s, paid_s=paid_s), columns


def _master(
    pairs: Pairs, columns: _Columns, grid_s: FloatArray, capacity: FloatArray
) -> tuple[float, FloatArray] | None:
    """The linear program over these columns: its value, and the integrated prices of its dual; None if it fails.

    Every job is started once in sum; in every interval of the grid, on average, no type has more GPUs held than it has.
    """
    lengths, rows = np.diff(grid_s), columns.pair
    starts, ends = columns.start_s[:, None], (columns.start_s + pairs.runtime_s[rows])[:, None]
    held = np.clip(np.minimum(grid_s[1:], ends) - np.maximum(grid_s[:-1], starts), 0, None) / lengths
    column, interval = np.nonzero(held)
    used = pairs.gpus[rows[column]] * held[column, interval]
    place = pairs.type[rows[column]] * len(lengths) + interval
    several = (len(capacity) * len(lengths), len(rows))
    found = linprog(
        columns.start_s - pairs.release_s[rows] + pairs.price_s[rows],
        A_ub=csr_matrix((used, (place, column)), shape=several),
        b_ub=np.repeat(capacity, len(lengths)),
        A_eq=csr_matrix(
            (np.ones(len(rows)), (pairs.job[rows], np.arange(len(rows)))), shape=(len(pairs.ids), len(rows))
        ),
        b_eq=np.ones(len(pairs.ids)),
        method="highs-ds",
    )
    if found.status != 0:
        return None
    prices = np.clip(-found.ineqlin.marginals, 0, None).reshape(len(capacity), len(lengths))
    paid_s = np.concatenate([np.zeros((len(capacity), 1)), np.cumsum(prices, axis=1)], axis=1)
    return float(found.fun), paid_s

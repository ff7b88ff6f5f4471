"""Worlds of 2 to 40 GPU types with the same total compute and the same load; modelled throughout.

The first two types are the paper's A100 and A6000, then come the other boards of `BOARDS` in an order drawn once, so
that every number of types mixes strong and weak boards. Beyond those 23 come synthetic variants, named so: a board
whose time and watts are each multiplied by exp(0.2 z), z drawn once from its name.

A type's compute is the speed at which one GPU of it does the class mix, relative to an A100: speed_j = sum_c w_c /
sum_c w_c f_cj, with w_c = share * GPUs * hours of class c and f_cj its time factor
(`kilowait.lab.backtest.scenario.type_model`, a power law of published figures). Every type gets the same number of GPUs
but for the remainder, and sum_j n_j speed_j is the same whatever the number of types, to within one GPU.
"""

import hashlib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from kilowait.core.arrays import FloatArray, IntArray
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.core.units import HOUR_S, JOULES_PER_KWH
from kilowait.lab.backtest.scenario.arrivals import ArrivalPattern
from kilowait.lab.backtest.scenario.job_classes import FACTOR_SD, SIZE_SD_SHARE, JobClass, class_table
from kilowait.lab.backtest.scenario.paper_scenario import (
    A100_RANGE,
    A6000_RANGE,
    Role,
    Sample,
    sample_rng,
    truncated_normal,
)
from kilowait.lab.backtest.scenario.type_model import OTHER_TYPE, REFERENCE_TYPE, time_factor, watts
from kilowait.simulate.run import Submission

BOARDS = (
    "B200",
    "H200",
    "H100",
    "H100-PCIe",
    "A100-80GB",
    "A100",
    "RTX-6000-Ada",
    "L40S",
    "RTX-4090",
    "A30",
    "A6000",
    "V100-32GB",
    "V100",
    "A40",
    "Quadro-RTX-6000",
    "RTX-A5000",
    "A10",
    "RTX-3090",
    "A10G",
    "L4",
    "T4",
    "P100",
    "K80",
)
"""The boards of these worlds, most powerful first: a fixed list, so that they stay when the catalogue grows."""

MAX_TYPES = 40
GPUS_A_TYPE_AT_MOST_TYPES = 8
"""The widest jobs take 8 GPUs of one type, so with 40 types each has 8; that fixes the total compute of all worlds."""
WATTS_SD_SHARE = 0.15
"""Standard deviation of a job's watts, as a share of its class's on that type (40 W of an A100's 270 W)."""
_VARIANT_SD = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A GPU type: a board of the catalogue, or a synthetic variant of one."""

    name: str
    base: str
    time_scale: float = 1.0
    watts_scale: float = 1.0

    def time_factor(self, job_class: JobClass) -> float:
        """Seconds here over seconds on an A100."""
        return time_factor(job_class, self.base) * self.time_scale

    def watts(self, job_class: JobClass) -> float:
        """Mean watts a GPU while the job runs."""
        return watts(job_class, self.base) * self.watts_scale

    def speed(self, table: Sequence[JobClass]) -> float:
        """GPU-seconds on an A100 that a second of one GPU here is worth, over the class mix."""
        work = [c.share * c.gpus * c.hours for c in table]
        return math.fsum(work) / math.fsum(w * self.time_factor(c) for w, c in zip(work, table, strict=True))


@cache
def boards(count: int) -> tuple[Board, ...]:
    """The first `count` types; raises InputError outside 1 to 40."""
    if not 1 <= count <= MAX_TYPES:
        raise InputError(f"GPU types must be between 1 and {MAX_TYPES}, got {count!r}")
    others = [name for name in BOARDS if name not in (REFERENCE_TYPE, OTHER_TYPE)]
    random.Random(0).shuffle(others)
    real = [Board(name=name, base=name) for name in (REFERENCE_TYPE, OTHER_TYPE, *others)]
    return tuple([*real, *(_variant(board.base) for board in real)][:count])


def inventory(count: int, table: Sequence[JobClass]) -> Mapping[str, int]:
    """GPUs by type, most powerful (fastest on the class mix) first, of the same total compute for every `count`."""
    compute = GPUS_A_TYPE_AT_MOST_TYPES * _total_speed(boards(MAX_TYPES), table)
    found = sorted(boards(count), key=lambda board: board.speed(table), reverse=True)
    each = int(compute / _total_speed(found, table) + 1e-9)
    left = compute - each * _total_speed(found, table)
    gpus = {}
    for board in found:
        more = left >= board.speed(table)
        left -= board.speed(table) * more
        gpus[board.name] = each + more
    return gpus


@dataclass(frozen=True, slots=True, kw_only=True)
class TypesWorld:
    """Samples on `types` GPU types, numbered from 0; `load` multiplies the paper's jobs for the compute there is.

    Sample k of two numbers of types has the same jobs with the same A100 seconds; the types differ.
    """

    types: int
    classes: str
    seed: int
    role: Role = "test"
    load: float = 1.0
    arrivals: ArrivalPattern = field(default_factory=ArrivalPattern)

    @property
    def predictions(self) -> str:
        """Policies see the truth."""
        return "oracle"

    def sample(self, index: int) -> Sample:
        """Sample `index` of this world."""
        table, rng = class_table(self.classes), sample_rng(self.seed, self.role, index)
        gpus = inventory(self.types, table)
        expected = self.arrivals.expected * self.load * compute_of_paper(table)
        times_s = replace(self.arrivals, expected=expected).draw(rng)
        drawn = rng.choice(len(table), size=len(times_s), p=_shares(table))
        hours = np.array([c.hours for c in table])[drawn]
        a100_s = truncated_normal(rng, hours, hours * SIZE_SD_SHARE) * HOUR_S
        by_name = {board.name: board for board in boards(self.types)}
        columns = {name: _columns(by_name[name], table, drawn, rng.spawn(1)[0]) for name in gpus}
        width = len(str(len(times_s)))
        return Sample(
            submissions=tuple(
                _submission(f"job-{i:0{width}d}", float(times_s[i]), table[drawn[i]].gpus, float(a100_s[i]), i, columns)
                for i in range(len(times_s))
            ),
            inventory=gpus,
        )


def compute_of_paper(table: Sequence[JobClass]) -> float:
    """The compute of these worlds over that of the paper's mean inventory (15 A100 and 30 A6000)."""
    a100, a6000 = boards(2)
    paper = sum(A100_RANGE) / 2 * a100.speed(table) + sum(A6000_RANGE) / 2 * a6000.speed(table)
    return GPUS_A_TYPE_AT_MOST_TYPES * _total_speed(boards(MAX_TYPES), table) / paper


Columns = tuple[FloatArray, FloatArray]
"""Of every job on one type: seconds over its A100 seconds, and watts a GPU."""


def _columns(board: Board, table: Sequence[JobClass], drawn: IntArray, rng: np.random.Generator) -> Columns:
    factors = np.array([board.time_factor(c) for c in table])[drawn]
    if board.name != REFERENCE_TYPE:
        factors = factors * truncated_normal(rng, np.ones(len(drawn)), FACTOR_SD)
    power = np.array([board.watts(c) for c in table])[drawn]
    return factors, truncated_normal(rng, power, power * WATTS_SD_SHARE)


def _submission(
    job_id: str, submit_s: float, gpus: int, a100_s: float, i: int, columns: Mapping[str, Columns]
) -> Submission:
    truth = {}
    for name, (factors, power) in columns.items():
        runtime_s = a100_s * float(factors[i])
        truth[name] = Prediction(runtime_s=runtime_s, energy_kwh=float(power[i]) * gpus * runtime_s / JOULES_PER_KWH)
    return Submission(job=Job(job_id=job_id, submit_s=submit_s, gpus=gpus), truth=truth, seen=truth)


def _variant(base: str) -> Board:
    name = f"{base} (synthetic)"
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
    time_z, watts_z = np.random.default_rng(seed).standard_normal(2).tolist()
    return Board(
        name=name,
        base=base,
        time_scale=math.exp(_VARIANT_SD * time_z),
        watts_scale=math.exp(_VARIANT_SD * watts_z),
    )


def _total_speed(found: Sequence[Board], table: Sequence[JobClass]) -> float:
    return math.fsum(board.speed(table) for board in found)


def _shares(table: Sequence[JobClass]) -> FloatArray:
    shares = np.array([c.share for c in table])
    return np.asarray(shares / shares.sum())

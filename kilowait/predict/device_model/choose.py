"""Choose the scales of `efficiency.Terms` from run times alone, by their evidence.

`Terms` holds scales that were chosen once, looking at KernelBench's programs. How much that flatters an evaluation on
the same programs shows when every training set chooses its own, from round numbers that no data suggested: coordinate
ascent on the logarithm of the run times' probability (Rasmussen and Williams 2006, section 5.4.1), scales of a kind
moving together. The forms of the covariances stay as they are.
"""

import itertools
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np

from kilowait.predict.device_model.efficiency import ABSENT, Terms
from kilowait.predict.device_model.fit import FitProblem
from kilowait.predict.device_model.learned_weights import MeasuredTimes
from kilowait.predict.device_model.specifications import Specification
from kilowait.predict.device_model.workload import Workload
from kilowait.predict.dryrun.record import DryRun

TOGETHER = (
    ("kin", "group", "op"),
    ("shape",),
    ("alike", "group_alike"),
    ("shape_alike",),
    ("host", "host_group", "host_op"),
    ("machine", "machine_group"),
    ("program", "program_alike"),
    ("noise", "host_noise"),
    ("shape_length",),
    ("sheet_length",),
)
"""Scales that move together; `group_own` stays small."""
_ROUND = dict.fromkeys(asdict(Terms()), 0.2) | dict.fromkeys(ABSENT, 0.0)
START = Terms(**{**_ROUND, "group_own": 0.02, "shape_length": 2.0, "sheet_length": 2.0})
"""Round numbers."""
FACTORS = (2.0, 1.5)
"""By which scales are tried larger and smaller, a pass each."""
PROGRAMS = 60
"""That the evidence is taken of: a fit takes a tenth of the time that it takes on 200."""


def chosen_terms(
    dry_runs: Sequence[DryRun],
    devices: Sequence[Specification],
    measured: MeasuredTimes,
    *,
    seed: int,
    grid: float = 0.0,
) -> Terms:
    """The scales under which run times of `PROGRAMS` of the P programs, drawn by `seed`, are most probable."""
    programs = np.sort(np.random.default_rng(seed).permutation(len(dry_runs))[:PROGRAMS])
    rows = np.isin(measured.program, programs)
    sample = MeasuredTimes(
        np.searchsorted(programs, measured.program[rows]), measured.device[rows], measured.log_s[rows]
    )
    load = Workload.of([dry_runs[i] for i in programs], grid=grid)

    def evidence(terms: Terms) -> float:
        return FitProblem(load=load, devices=devices, measured=sample, terms=terms).solve().evidence

    best, best_evidence = START, evidence(START)
    for factor, names in itertools.product(FACTORS, TOGETHER):
        for step in (factor, 1 / factor):
            candidate = _scaled(best, names, step)
            if (candidate_evidence := evidence(candidate)) > best_evidence:
                best, best_evidence = candidate, candidate_evidence
                break
    return best


def _scaled(terms: Terms, names: Sequence[str], step: float) -> Terms:
    values = asdict(terms)
    return Terms(**{**values, **{name: values[name] * step for name in names}})

"""Labels as a study holds them, from tables of run times."""

import numpy as np

from kilowait.core.jobs import Provenance
from kilowait.lab.evaluate.cross_validation import Inputs
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.lab.evaluate.rounds import fold_rounds
from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.splits import folds

TYPES = ("A100", "A6000", "T4")
"""Types of the catalogue, for studies whose run times follow from data sheets."""


def study_of(times, group_size=1):
    """One script a row of times (S, D), all measured; NaN is no label."""
    scripts, types = times.shape
    names = tuple(f"s{i:04}" for i in range(scripts))
    there = np.isfinite(times).ravel()
    script, device = np.repeat(np.arange(scripts), types)[there], np.tile(np.arange(types), scripts)[there]
    return Dataset(
        scripts=names,
        families=tuple(f"f{i % 3}" for i in range(scripts)),
        groups=tuple(f"g{i // group_size}" for i in range(scripts)),
        device_types=tuple("ABCDEF"[:types]),
        script=script,
        device=device,
        metrics={"runtime_s": times.ravel()[there]},
        provenance={"runtime_s": dict.fromkeys("ABCDEF"[:types], Provenance.MEASURED)},
        measured={"runtime_s": np.ones(there.sum(), dtype=bool)},
        spread=np.zeros(there.sum()),
        flagged=np.zeros(there.sum(), dtype=bool),
        digest="",
    )


def inputs_of(study):
    """A study whose programs have no vectors and no texts."""
    return Inputs(study=study, embeddings={}, texts=())


def rounds_of(study, count=5):
    """Rounds over `count` folds by group."""
    return list(fold_rounds(folds(study.row_keys(study.groups), count, 0)))


def noisy_times(seed, scripts=400, noise=(0.1, 0.6)):
    """Times of exp(normal noise) around 1 s on two types, the second much noisier."""
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(size=(scripts, 2)) * noise)


def study_of_runs(runs: list[DryRun], types: tuple[str, ...], seconds: np.ndarray) -> Dataset:
    """A script a dry run, with seconds (R, D) measured on every type."""
    script, device = (index.ravel() for index in np.indices(seconds.shape))
    names = tuple(one.content_hash for one in runs)
    return Dataset(
        scripts=names,
        families=names,
        groups=names,
        device_types=types,
        script=script,
        device=device,
        metrics={"runtime_s": seconds.ravel(), "energy_j": seconds.ravel()},
        provenance={"runtime_s": dict.fromkeys(types, Provenance.MEASURED)},
        measured={"runtime_s": np.ones(seconds.size, dtype=np.bool_)},
        spread=np.zeros(seconds.size),
        flagged=np.zeros(seconds.size, dtype=np.bool_),
        digest="",
    )

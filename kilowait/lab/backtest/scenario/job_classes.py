"""Classes of jobs for the paper's scenario (A.3.2): how often, how many GPUs, how long, at what power.

Two tables, A100 against RTX A6000. `paper-like` is a guess at a world like the paper's: A6000s slower at fewer watts.
`calibrated` is read off public measurements, and corrected where they said otherwise (see `CALIBRATED`);
`calibrated-draft` is that table before the correction, kept so that its effect stays visible.

Both are models: no table here is a measurement of a cluster's jobs. Shares, GPUs and hours are choices; only time
factors and watts are held against data (`kilowait lab calibrate --measurements DIR` prints them side by
side).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from kilowait.core.errors import InputError

SIZE_SD_SHARE = 0.5
"""Standard deviation of a job's hours, as a share of its class's mean."""

FACTOR_SD = 0.2
"""Standard deviation of the A6000 time factor."""

POWER_SD_W = 40.0
"""Standard deviation of watts a GPU, before truncation at zero."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobClass:
    """One class: `share` of the jobs, GPUs a job, mean hours on an A100, and what an A6000 changes.

    `a6000_factor` multiplies the A100's time; `a100_w` and `a6000_w` are mean watts a GPU while the job runs.
    """

    name: str
    share: float
    gpus: int
    hours: float
    a6000_factor: float
    a100_w: float
    a6000_w: float

    def __post_init__(self) -> None:
        for name in ("share", "gpus", "hours", "a6000_factor", "a100_w", "a6000_w"):
            got = getattr(self, name)
            if not (math.isfinite(got) and got > 0):
                raise InputError(f"job class {self.name}: {name} must be finite and > 0, got {got!r}")

    @property
    def energy_ratio(self) -> float:
        """A6000 energy over A100 energy at the class's means; below 1 the A6000 is the greener type."""
        return self.a6000_factor * self.a6000_w / self.a100_w


def _class(name: str, share: float, gpus: int, hours: float, factor: float, a100_w: float, a6000_w: float) -> JobClass:
    return JobClass(name=name, share=share, gpus=gpus, hours=hours, a6000_factor=factor, a100_w=a100_w, a6000_w=a6000_w)


PAPER_LIKE = (
    _class("small", 0.35, 1, 6, 1.25, 230, 190),
    _class("medium", 0.25, 2, 16, 1.35, 260, 200),
    _class("large", 0.22, 4, 30, 1.15, 300, 170),
    _class("huge", 0.18, 8, 40, 1.60, 330, 235),
)
"""An A6000 needs 1.15 to 1.6 times as long at 57 to 83% of the watts. Only `large` gets greener there (0.65 of the
energy); even with every job on its greener type this world saves about 15%, half of what the paper claims."""

CALIBRATED_DRAFT = (
    _class("heavy mixed precision", 0.40, 4, 24, 1.80, 270, 275),
    _class("launch-bound", 0.30, 1, 8, 1.00, 95, 62),
    _class("fp32 without TF32", 0.15, 2, 16, 0.75, 280, 270),
    _class("inference", 0.15, 8, 30, 1.30, 245, 195),
)
"""The first reading of the public measurements, before `CALIBRATED` corrected the watts of three classes."""

CALIBRATED = (
    # Time 1.80 stands: Lambda Labs deep-learning benchmark, fp16 training of 10 models, RTX A6000 over the 80 GB PCIe
    # A100, whose watts are taken below: median 1.82, quartiles 1.62-2.05 (40 GB boards: medians 1.44 and 1.52).
    # Watts: Perseus (SOSP'24 data of ml-energy/zeus), A100 PCIe at its 300 W limit: 268-279 a GPU, median 276. No RTX
    # A6000 power is public, so the A40 (same GA102 die, same 300 W limit) stands in: medians of ResNet-50 and BERT in
    # Zeus (NSDI'23 trace) 241-267, models in Perseus 234-261 (T5 161: pipeline bubbles); over all of them 254,
    # quartiles 241-261. So the draft's 275 became 260; energy on the A6000 is 1.7 times the A100's, and heavy jobs do
    # not get cheaper there. (Perseus stage profiles at the highest clock: A40 292-294 W, energy 1.6-1.7 times.)
    _class("heavy mixed precision", 0.40, 4, 24, 1.80, 270, 260),
    # Time 1.0: KernelBench v0 levels 1-2, programs under 1 ms, RTX A6000 (run 1) over A100-40GB, median 1.05 (run 2,
    # on a slower host, 1.82: the host decides, not the board); Zeus NCF, A40 over V100, median 1.0. Watts: Acme
    # (AcmeTrace, Kalos and Seren): the plateau of boards that hold a job and do little lies at 94-95 W; Zeus NCF
    # on an A40: 83-91 W, median 87. The draft's 62 W is what the Turing-generation Quadro RTX 6000 draws there (67).
    _class("launch-bound", 0.30, 1, 8, 1.00, 95, 87),
    # Time 0.75: KernelBench, fp32 matrix products over 1 ms, TF32 off, median 0.75 (quartiles 0.72-0.79): GA102 has
    # twice the plain fp32 units. Convolutions go the other way (median 1.7), so the class means matrix products.
    # Watts on the A6000: Zeus BERT on an A40, 263-267. No public figure was found for fp32 on an A100: 280 is assumed.
    _class("fp32 without TF32", 0.15, 2, 16, 0.75, 280, 270),
    # ML.ENERGY leaderboard (ml-energy/leaderboard, data/legacy, chat task of 2023), 21 language models served one
    # request at a time: time a token on an A40 over an A100, median 1.26 (quartiles 1.09-1.53), so 1.3 stands;
    # watts: A100 184 (153-212), A40 245 (230-264): energy a token 1.7 times. The draft had 245 and 195, the other
    # way round: the smaller board works nearer its limit, so it draws more, not less.
    _class("inference", 0.15, 8, 30, 1.30, 185, 245),
)
"""Read off public measurements; each line says which. A6000 watts lean on the A40, which shares its die and limit."""

CLASS_TABLES: Mapping[str, tuple[JobClass, ...]] = MappingProxyType(
    {"paper-like": PAPER_LIKE, "calibrated": CALIBRATED, "calibrated-draft": CALIBRATED_DRAFT}
)
"""The tables by the name that commands take."""


def class_table(name: str) -> tuple[JobClass, ...]:
    """The table of this name; raises InputError listing the names there are."""
    try:
        return CLASS_TABLES[name]
    except KeyError:
        raise InputError(f"unknown class table {name!r}; choose from {', '.join(CLASS_TABLES)}") from None

"""What a dry run assumed: the lines that say it, and by how much the interval of a run time grows for it.

Each kind of assumption adds an error of its own to the logarithm of the run time, independent of the model's: the two
half-widths of the 90% interval, in logarithms, become sqrt(half_width^2 + the sum of log(factor)^2 over the kinds
present). A kind counts once, however many lines it has: what is wrong about one default is as a rule wrong about the
next. A time that is missing can only make the job longer.

A default counts once, too. It makes a run `guessed`, and the interval of a run that is not whole is wider already; of a
run that is guessed and rests on a default it is the default's factor that widens, and that one alone (`is_covered`). A
partial run has work that nobody saw beside what was assumed, so both count; so does a guess without a default.

The factors were chosen, not measured: a published size is right but for versions and means (a tenth), a kernel
modelled by its name is off by as much as kernels of one product differ among themselves (half), which also stands for
figures of the catalogue that were not compared with a source, and a default says nothing but the order of magnitude (a
factor of 4 either way).
"""

import math

from kilowait.predict.dryrun.record import Completeness, DryRun

FACTORS = {"given": 1.05, "catalogue": 1.1, "modelled": 1.5, "default": 4.0}
"""By which the run time may be off at 90%, by how the assumption is known (`record.HOW`)."""
MISSING_FACTOR = 2.0
"""The same for operators whose time is missing; upward alone."""


def is_covered(run: DryRun) -> bool:
    """Whether `widened` says all that is uncertain about the work of a run: it is whole, or guessed for a default."""
    is_guess = run.completeness == Completeness.GUESSED and "default" in run.assumed_how
    return run.completeness == Completeness.WHOLE or is_guess


def widened(run: DryRun, runtime_s: float, low_s: float, high_s: float) -> tuple[float, float]:
    """The ends of an interval around a run time > 0 in seconds, moved out for what the dry run assumed."""
    added = sum(math.log(FACTORS[how]) ** 2 for how in set(run.assumed_how))
    above = added + (math.log(MISSING_FACTOR) ** 2 if run.missing else 0.0)
    low = math.sqrt(math.log(runtime_s / low_s) ** 2 + added)
    high = math.sqrt(math.log(high_s / runtime_s) ** 2 + above)
    return runtime_s / math.exp(low), runtime_s * math.exp(high)


def lines(run: DryRun) -> list[str]:
    """What the dry run assumed and what it could not see, a line each."""
    return [*(f"assumed: {line}" for line in run.assumptions), *(f"missing: {line}" for line in run.missing)]

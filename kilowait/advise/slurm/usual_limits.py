"""Time limits by user and job name, from how long such jobs took: what a job_submit plugin looks up.

The limit is an order statistic: of n exchangeable jobs the next one takes longer than the k-th shortest in at most
1 - k / (n + 1) of the cases, whatever the distribution. Jobs of one day are much alike and say little of the next week:
too few jobs, or of too few days, give no limit. One that its limit ended counts as longer than all others.
"""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from kilowait.advise.limit_quantile import MINUTE_S
from kilowait.advise.slurm.accounting import AccountedJob
from kilowait.core.units import DAY_S
from kilowait.files.atomic import write_text

LEAST_DAYS = 3
"""On which jobs of a name ended; chosen on the log of `benchmarks.learnt_limits`."""
Names = tuple[str, str]
"""(user, job name)."""


def usual_limits(
    jobs: Iterable[AccountedJob], risk: float, margin_s: float, least_days: int = LEAST_DAYS
) -> dict[Names, int]:
    """Minutes by user and name, where enough such jobs ended: at least 1 / `risk` - 1, on so many days (of UTC)."""
    times: dict[Names, list[float]] = {}
    days: dict[Names, set[float]] = {}
    for job in jobs:
        names, timed_out = (job.user, job.name), job.state == "TIMEOUT"
        if not job.part and all(names) and (job.completed or timed_out):
            times.setdefault(names, []).append(math.inf if timed_out else job.elapsed_s)
            days.setdefault(names, set()).add(job.end_s // DAY_S)
    limits = {names: _limit_s(sorted(taken), risk) for names, taken in times.items() if len(days[names]) >= least_days}
    return {
        names: math.ceil((limit_s + margin_s) / MINUTE_S)
        for names, limit_s in sorted(limits.items())
        if math.isfinite(limit_s)
    }


def write_limits(limits: Mapping[Names, int], path: Path) -> None:
    """A line each, `MINUTES USER NAME`, the names as hexadecimal digits: they have every sign; raises OSError."""
    lines = [f"{minutes} {user.encode().hex()} {name.encode().hex()}\n" for (user, name), minutes in limits.items()]
    write_text(path, "".join(lines))


def _limit_s(taken: list[float], risk: float) -> float:
    """Seconds; endless where there are too few."""
    rank = math.ceil((len(taken) + 1) * (1 - risk) - 1e-9)
    return taken[rank - 1] if rank <= len(taken) else math.inf

"""What a labelling campaign found, by device type."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from kilowait.lab.label.agreement import AgreementRule, Standing, closest_pair, spread, standing
from kilowait.measure.measured_run import MeasuredRun

Figures = dict[str, int | float | None]


def _first_two_agree(runs: Sequence[MeasuredRun], rule: AgreementRule) -> bool | None:
    """Whether the first two runs agree: the honest share, before any repeat; None where one failed."""
    a, b = runs[0].runtime_s, runs[1].runtime_s
    if a is None or b is None or runs[0].failure or runs[1].failure:
        return None
    return spread(a, b) <= rule.tolerance


def _spread_of(runtimes: Sequence[float]) -> Figures:
    p5, p50, p95 = (float(q) for q in np.percentile(runtimes, [5, 50, 95]))
    mean_s = float(np.mean(runtimes))
    return {"p5_s": p5, "p50_s": p50, "p95_s": p95, "mean_s": mean_s, "p95_over_p5": p95 / p5}


def _figures(histories: Sequence[Sequence[MeasuredRun]], rule: AgreementRule) -> Figures:
    counts = Counter(standing(runs, rule) for runs in histories)
    first_agreements = [_first_two_agree(runs, rule) for runs in histories if len(runs) > 1]
    verdicts = [agrees for agrees in first_agreements if agrees is not None]
    pairs = [pair for runs in histories if (pair := closest_pair(runs)) is not None]
    times = [(a.runtime_s + b.runtime_s) / 2 for a, b, _ in pairs if a.runtime_s and b.runtime_s]
    return {
        "scripts": len(histories),
        "runs": sum(len(runs) for runs in histories),
        **{str(state): counts[state] for state in (Standing.ACCEPTED, Standing.FLAGGED, Standing.FAILED)},
        "open": counts[Standing.OPEN],
        "first_pairs_within_tolerance": sum(verdicts) / len(verdicts) if verdicts else None,
        "pairs_within_tolerance": counts[Standing.ACCEPTED] / len(pairs) if pairs else None,
        **(_spread_of(times) if times else {}),
    }


def summarise(runs: Mapping[tuple[str, str], Sequence[MeasuredRun]], rule: AgreementRule) -> dict[str, Figures]:
    """Counts, agreement and the spread of run times (accepted and flagged labels) for each device type."""
    types = sorted({device_type for _, device_type in runs})
    return {t: _figures([type_runs for (_, device), type_runs in runs.items() if device == t], rule) for t in types}

"""Recorded steps rebuilt from their dependencies: python -m benchmarks.replay TRACE... [--json FILE].

For each trace: the errors of its steps, rebuilt from their own durations and dependencies; the error of all of them
together; and of one step alone (that of the median time), played again and again, against each of the others. Traces:
those in the repositories facebookresearch/HolisticTraceAnalysis and facebookresearch/param (MIT).
"""

import argparse
import statistics
import sys
from pathlib import Path
from typing import Any

from benchmarks.json_record import keep
from kilowait.cli.replay import replayed
from kilowait.predict.profiled.kineto import read_traces


def _median(found: dict[str, Any]) -> float:
    return statistics.median(map(abs, found["errors_by_one_steps_waits"] or [float("nan")]))


def main() -> int:
    """Print a line a trace, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    nothing = argparse.Namespace(source=None, device=[], clock=1.0, batch=1.0, gpus=0)
    rows = []
    for path in options.traces:
        for name, trace in read_traces(path).items():
            found = replayed(trace, nothing)
            errors = [b / a - 1 for a, b in zip(found["recorded_ms"], found["rebuilt_ms"], strict=True)]
            others = statistics.median(map(abs, found["one_step_errors"])) if found["one_step_errors"] else None
            rows.append({"trace": name, **found, "errors": errors, "one_step_median_error": others})
            print(
                f"{name[:44]:44} {found['steps']:3} steps  {statistics.median(found['recorded_ms']):7.2f} ms  "
                f"median {found['median_error']:6.2%}  worst {max(map(abs, errors)):6.2%}  "
                f"together {found['total_error']:+7.2%}  one on the others "
                + ("      " if others is None else f"{others:6.2%}  by one's waits {_median(found):6.2%}")
            )
    print(f"median over {len(rows)} traces: {statistics.median(row['median_error'] for row in rows):.2%}")
    keep(rows, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

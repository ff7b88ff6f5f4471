"""A running job's total from its first steps: python -m benchmarks.progress LOGS [--json FILE].

LOGS is what `benchmarks.record_progress` recorded: when twenty trainings wrote what. Each is played back into what the
service reads jobs with, and asked after some share of its steps (at least ten) how long it takes in all; beside it the
straight line from its start through the present, and from its first step on. No prediction is blended in, but where
`--prior-error` asks for one: a factor by which a pretended prediction is wrong, with an interval that covers it.
"""

import argparse
import gzip
import json
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.json_record import keep
from kilowait.live.pace import LEAST_STEPS, KnownBefore, pace, positions
from kilowait.measure.step_clock import StepClock

SHARES = (0.05, 0.1, 0.25, 0.5)
CLOCKS = {"cpu_s": 1, "wall_s": 0}


def records(path: Path) -> Iterator[dict[str, Any]]:
    """The recorded trainings: a folder of files, or one file of lines, packed."""
    if path.is_dir():
        yield from (json.loads(file.read_text()) for file in sorted(path.glob("*.json")))
    else:
        with gzip.open(path, "rt") as lines:
            yield from map(json.loads, lines)


def asked_at(record: dict[str, Any], clock: str, share: float, expected: KnownBefore) -> dict[str, float] | None:
    """What was expected, and by a straight line, at the first moment with this share of the steps, at least ten."""
    steps, column = StepClock(), CLOCKS[clock]
    for piece in record["pieces"]:
        at_s = piece[column]
        if not steps.write(piece[2].encode(), at_s):
            continue
        found = steps.record()
        if found is None:
            continue
        marks, total = positions(found, expected.steps)
        if total is None or not marks or marks[-1][1] < max(share * total, marks[0][1] + LEAST_STEPS):
            continue
        if (now := pace(found, at_s, expected)) is None:
            continue
        a_step = (marks[-1][0] - marks[0][0]) / (marks[-1][1] - marks[0][1])
        return {
            "at": marks[-1][1] / total,
            "pace_s": now.total_s,
            "low_s": now.low_s,
            "high_s": now.high_s,
            "line_s": at_s * total / marks[-1][1],
            "line_from_first_step_s": marks[-1][0] + a_step * (total - marks[-1][1]),
        }
    return None


def scored(record: dict[str, Any], clock: str, share: float, known: dict[str, Any]) -> dict[str, Any]:
    """A training's errors as shares of its true total; infinite where nothing can be said."""
    truth = record[clock]
    expected = KnownBefore(**{name: known.get(name, 0.0) for name in ("steps", "beside")})
    found = asked_at(record, clock, share, expected)
    row: dict[str, Any] = {"kind": record["kind"], "true_s": truth, "found": found}
    for name in ("pace_s", "line_s", "line_from_first_step_s"):
        row[name.removesuffix("_s")] = abs(found[name] / truth - 1) if found else float("inf")
    row["inside"] = bool(found and found["low_s"] <= truth <= found["high_s"])
    return row


def main() -> int:
    """Print the errors, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", type=Path)
    parser.add_argument("--known", type=Path, help="JSON of what a dry run knows of each: steps, beside")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    known = json.loads(options.known.read_text()) if options.known else {}
    recorded, kept, middles = list(records(options.logs)), [], []
    for clock in CLOCKS:
        for share in SHARES:
            rows = [scored(record, clock, share, known.get(record["kind"], {})) for record in recorded]
            kept.append({"clock": clock, "share": share, "rows": rows})
            if share == SHARES[0]:
                for row in rows:
                    print(
                        f"{row['kind']:18} {row['true_s']:6.0f} s  {row['pace']:7.1%} {row['line']:7.1%} "
                        f"{row['line_from_first_step']:7.1%} {'in' if row['inside'] else 'out'}"
                    )
            middle = {
                name: statistics.median(row[name] for row in rows) for name in ("pace", "line", "line_from_first_step")
            }
            inside = sum(row["inside"] for row in rows)
            middles.append({"clock": clock, "share": share, "jobs": len(rows), **middle, "inside": inside})
            print(
                clock,
                f"{share:.0%}",
                {name: f"{value:.1%}" for name, value in middle.items()},
                f"{inside}/{len(rows)} inside",
            )
    keep({"medians": middles, "jobs": kept}, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

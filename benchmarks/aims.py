"""What was aimed at beside what is shown, read from the records in docs/results: python -m benchmarks.aims.

Nothing is computed here: each row says which record a figure is from, with the command that wrote it. A row without a
record says why nothing is shown.
"""

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.json_record import keep

RESULTS = Path(__file__).parents[1] / "docs" / "results"
TIMM, LAMBDA = "timm-results", "lambda-deeplearning-benchmark"
LIMITS, LEAST_ENERGY = "model, watts predicted", 1e6
HOME = "its source known"
CLOSED, SCORES = "labels are kept back", "kilowait lab evaluate --steps FILE --programs DIR"
NAMED = (("faster one of long pairs", "long_right_order"), ("A100 or A6000", "a100_a6000_right"))
FITS = "python -m benchmarks.memory_fits --steps timm.csv.gz --python PYTHON --json {json}"
ALONE = "needs a machine that does nothing else"
Found = float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Aim:
    """A figure of a record that should lie between two bounds; without one `why` not, and the `command` for it."""

    what: str
    record: str = ""
    found: Callable[[Any], Found] = lambda _result: None
    at_least: float = 0.0
    at_most: float = float("inf")
    unit: str = "%"
    why: str = ""
    command: str = ""

    @property
    def wanted(self) -> str:
        """The bounds as people read them."""
        low, high = _written(self.at_least, self.unit), _written(self.at_most, self.unit)
        if not self.at_least:
            return f"≤ {high}"
        return f"≥ {low}" if self.at_most == float("inf") else f"{low} to {high}"


def _written(value: float, unit: str) -> str:
    return f"{100 * value:.3g}%" if unit == "%" else f"{value:.3g}{unit}"


def _step(key: str, group: str, **where: str) -> Callable[[Any], Found]:
    """A figure of measured steps that were left out."""
    return lambda result: _row(result["scores"], group=group, **where)[key]


def _baselines(key: str, group: str, predictor: str = "kilowait") -> Callable[[Any], Found]:
    return _step(key, group, predictor=predictor)


def _row(rows: Sequence[Mapping[str, Any]], **where: Any) -> Mapping[str, Any]:
    """The one row that agrees."""
    (row,) = [row for row in rows if all(row[key] == value for key, value in where.items())]
    return row


def _width_share(group: str) -> Callable[[Any], Found]:
    def share(result: Any) -> Found:
        row = _row(result["scores"], group=group, predictor="kilowait")
        return float(row["width"] / row["needed_width"])

    return share


def _limit(gpu: str, weight: float) -> Callable[[Any], Found]:
    return lambda result: _row(result["limits"], curve=LIMITS, gpu=gpu, weight=weight)["kept"]


def _replayed(key: str) -> Callable[[Any], Found]:
    """The greatest figure of the traces that have one."""
    return lambda result: max(row[key] for row in result if row[key] is not None)


def _progress(clock: str) -> Callable[[Any], Found]:
    """Median error of a running job's total after 5% of its steps."""
    return lambda result: _row(result, clock=clock, share=0.05)["pace"]


def _fits(key: str) -> Callable[[Any], Found]:
    return lambda result: result["held out"][key]


AIMS = (
    *(
        Aim(
            what=f"timm {what}, families left out, {HOME}: median error",
            record="steps",
            found=_step("median_error", f"family left out: {TIMM} | {kind} | {HOME}"),
            at_most=most,
        )
        for what, kind, most in (
            ("training, RTX 3090, NCHW", "train amp_fp16", 0.08),
            ("training, RTX 3090, channels_last", "train amp_fp16 channels_last", 0.08),
            ("inference, RTX 3090, 4090, 5090, PRO 6000, NCHW", "infer amp_fp16", 0.1),
            ("inference, channels_last", "infer amp_fp16 channels_last", 0.1),
        )
    ),
    Aim(
        what=f"timm, families left out, {HOME}: R2 of log",
        record="step_baselines",
        found=_baselines("r2_log", f"family left out: {TIMM}", "kilowait, its hosts known"),
        at_least=0.97,
        unit="",
    ),
    *(
        Aim(
            what=f"Lambda training, GPU types left out, {kind}: median error",
            record="steps",
            found=_step("median_error", f"type left out: {LAMBDA} | {kind}"),
            at_most=0.15,
        )
        for kind in ("train amp_fp16", "train fp16 (apex O2)", "train fp32")
    ),
    *(
        Aim(
            what=f"{which} of two boards, {left_out}",
            record="step_baselines",
            found=_baselines(key, group),
            at_least=0.97,
        )
        for left_out, group, named in (
            ("Lambda training, GPU types left out", f"type left out: {LAMBDA}", False),
            ("families left out", "family left out", True),
            ("sources left out", "source left out", True),
            ("GPU types left out", "type left out", True),
        )
        for which, key in (
            ("faster one", "right_order"),
            *(NAMED if named else ()),
        )
    ),
    Aim(what="NeuSight's 26 end-to-end training steps: median error", at_most=0.045, why=CLOSED, command=SCORES),
    Aim(what="NeuSight's 26 end-to-end training steps: mean error", at_most=0.073, why=CLOSED, command=SCORES),
    Aim(
        what="KernelBench levels 1 and 2, by program: median error",
        record="kernelbench_folds",
        found=lambda result: result["overall"]["mdape"],
        at_most=0.08,
    ),
    Aim(
        what="KernelBench levels 1 and 2, A100: median error",
        record="kernelbench_folds",
        found=lambda result: result["devices"]["A100"]["mdape"],
        at_most=0.072,
    ),
    Aim(what="KernelBench level 3, whole networks: median error", at_most=0.15, why=CLOSED, command=SCORES),
    Aim(what="KernelBench level 3, whole networks: R2 of log", at_least=0.95, unit="", why=CLOSED, command=SCORES),
    *(
        aim
        for left_out in ("family", "source", "type")
        for aim in (
            Aim(
                what=f"{left_out} left out: coverage of 90% intervals",
                record="step_baselines",
                found=_baselines("coverage", f"{left_out} left out"),
                at_least=0.86,
                at_most=0.94,
            ),
            Aim(
                what=f"{left_out} left out: median width over the width that its errors need",
                record="step_baselines",
                found=_width_share(f"{left_out} left out"),
                at_most=2.0,
                unit=" times",
            ),
        )
    ),
    Aim(
        what="power, GPU types left out: median error",
        record="power_model",
        found=lambda result: _row(result["watts"], left_out="type", gpu="all")["median_error"],
        at_most=0.1,
    ),
    Aim(
        what="power, GPU types left out: Kendall's tau of types",
        record="power_model",
        found=lambda result: result["tau_of_types"]["all"],
        at_least=0.8,
        unit="",
    ),
    *(
        Aim(
            what=f"power limits of networks left out, {gpu}, {goal}: share of the saving kept",
            record="power_model",
            found=_limit(gpu, weight),
            at_least=least,
        )
        for goal, weight in (("least energy", LEAST_ENERGY), ("a joule as dear as two seconds", 2.0))
        for gpu, least in (("A40", 0.9), ("A100-80GB", 0.9), ("V100", 0.75), ("Quadro-RTX-6000", 0.75))
    ),
    Aim(
        what="timm, largest batch that fitted: said to fit",
        record="memory_fits",
        found=_fits("fitted: right"),
        at_least=0.95,
        command=FITS,
    ),
    Aim(
        what="timm, smallest batch that did not fit: said not to fit",
        record="memory_fits",
        found=_fits("did not fit: right"),
        at_least=0.9,
        command=FITS,
    ),
    Aim(
        what="replay, steps by their own durations: worst trace's median error",
        record="replay",
        found=_replayed("median_error"),
        at_most=0.033,
    ),
    Aim(
        what="replay, one step scored on the others: worst trace's median error",
        record="replay",
        found=_replayed("one_step_median_error"),
        at_most=0.033,
    ),
    Aim(
        what="a running job's total after 5% of its steps, by processor time: median error",
        record="progress",
        found=_progress("cpu_s"),
        at_most=0.03,
    ),
    Aim(
        what="a running job's total after 5% of its steps, by the clock of a shared machine: median error",
        record="progress",
        found=_progress("wall_s"),
        at_most=0.03,
    ),
    Aim(
        what="`kilowait predict FILE`, a process of its own",
        at_most=3.0,
        unit=" s",
        why=ALONE,
        command="python -m benchmarks.cold_predict FILE",
    ),
    Aim(what="a new text over HTTP", at_most=1.0, unit=" s", why=ALONE, command="python -m benchmarks.service"),
)


def rows(results: Path = RESULTS) -> list[dict[str, Any]]:
    """A row an aim, in their order."""
    return [_of(aim, results) for aim in AIMS]


def _of(aim: Aim, results: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"aim": aim.what, "wanted": aim.wanted, "shown": "-", "met": "not shown", "from": aim.why}
    path = results / f"{aim.record}.json"
    if not aim.record or not path.exists():
        return row | {"from": aim.why or f"{path.name} was not written yet", "command": aim.command}
    record = json.loads(path.read_text(encoding="utf-8"))
    if (found := aim.found(record["result"])) is not None:
        row |= {"shown": _written(found, aim.unit), "met": "yes" if aim.at_least <= found <= aim.at_most else "no"}
    return row | {"from": f"{path.name}, {record['provenance']}", "command": record["command"]}


def main(words: Sequence[str] | None = None) -> int:
    """Print a line an aim, and keep them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows there")
    args = parser.parse_args(words)
    found = rows()
    for row in found:
        print(f"{row['aim']:95} {row['wanted']:>12} {row['shown']:>8}  {row['met']:9} {row['from']}")
    keep({"rows": found}, args.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())

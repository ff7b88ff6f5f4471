"""How long `kilowait predict FILE` takes in a process of its own: `python -m benchmarks.cold_predict FILE`.

    python -m benchmarks.cold_predict train.py
    python -m benchmarks.cold_predict train.py --against ../older --repeats 5

Beside it, in turns and on the same machine: `import torch` alone, which is what no prediction can do without, and with
--against the same command of another tree of kilowait. Seconds by the clock and of CPU (children that were waited for
included) are medians; the ratios hold on a machine that is busy, too, the seconds do not. The model has to be on disk:
the first run is not counted.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.json_record import keep
from benchmarks.stopwatch import program_seconds

ROOT = Path(__file__).parents[1]


def main(words: Sequence[str] | None = None) -> int:
    """Print medians and ratios, and JSON where it is asked for."""
    args = _parser().parse_args(words)
    predict = ["-m", "kilowait.cli", "predict", str(args.file.absolute())]
    commands = {"import torch": (ROOT, ["-c", "import torch"]), "predict": (ROOT, predict)}
    if args.against:
        commands["against"] = (args.against.absolute(), predict)
    seen: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for number in range(args.repeats + 1):
        for name, (tree, command) in commands.items():
            taken = program_seconds(command, {"PYTHONPATH": str(tree), "KILOWAIT_WARM_MINUTES": "0"}, tree)
            if number:
                seen[name].append(taken)
    report = {name: _medians(times) for name, times in seen.items()}
    for name, numbers in report.items():
        print(f"{name:>12}: {numbers['wall_s']:.2f} s by the clock, {numbers['cpu_s']:.2f} s of CPU")
    ratios = _ratios(report)
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f}")
    keep({**report, "ratios": ratios, "repeats": args.repeats}, args.json)
    return 0


def _medians(times: Sequence[tuple[float, float]]) -> dict[str, float]:
    wall_s, cpu_s = (median(column) for column in zip(*times, strict=True))
    return {"wall_s": wall_s, "cpu_s": cpu_s}


def _ratios(report: dict[str, dict[str, float]]) -> dict[str, float]:
    pairs = [(other, unit) for other in ("import torch", "against") if other in report for unit in ("wall_s", "cpu_s")]
    words = {"wall_s": "by the clock", "cpu_s": "of CPU"}
    return {f"predict / {other}, {words[u]}": report["predict"][u] / report[other][u] for other, u in pairs}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, metavar="FILE", help="the program to predict")
    parser.add_argument("--against", type=Path, metavar="DIR", help="another tree of kilowait")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="runs that count (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    return parser


if __name__ == "__main__":
    sys.exit(main())

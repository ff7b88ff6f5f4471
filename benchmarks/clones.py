"""How alike clones are to what they were cloned from, and how long they take: `python -m benchmarks.clones FILE...`.

    python -m benchmarks.clones out/composites/*.py --repeats 3 --json out/clones.json

Every file is cloned for the CPU, then it and its clone run in turns, on one thread, each in a process of its own.
Seconds of CPU and by the clock are medians, starting Python and PyTorch included; ratios of CPU seconds hold on a busy
machine, too. Distances are those of `kilowait clone`. A file that cannot be cloned is listed with the reason.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.json_record import keep
from benchmarks.stopwatch import program_seconds
from kilowait.cli.clone import add_arguments, cloned
from kilowait.core.errors import KilowaitError


def main(words: Sequence[str] | None = None) -> int:
    """Print a line a file, and JSON where it is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="programs that run on a CPU")
    parser.add_argument("--repeats", type=int, default=3, metavar="N", help="runs of each (default: %(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers there")
    args = parser.parse_args(words)
    rows: list[dict[str, Any]] = []
    for file in args.files:
        rows.append({"program": file.stem, **_compared(file, args.repeats)})
        print(rows[-1], flush=True)
    keep({"repeats": args.repeats, "programs": rows}, args.json)
    return 0


def _compared(file: Path, repeats: int) -> dict[str, Any]:
    options = argparse.ArgumentParser()
    add_arguments(options)
    try:
        text, report = cloned(options.parse_args([str(file), "--device", "cpu"]))
    except KilowaitError as error:
        return {"refused": str(error)}
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder) / "clone.py"
        clone.write_text(text)
        pairs = [(_taken(file), _taken(clone)) for _ in range(repeats)]
    original, copy = ([median(column) for column in zip(*side, strict=True)] for side in zip(*pairs, strict=True))
    return {
        **report,
        "cpu_s": original[1],
        "clone_cpu_s": copy[1],
        "cpu_ratio": copy[1] / original[1],
        "clock_ratio": copy[0] / original[0],
    }


def _taken(file: Path) -> tuple[float, float]:
    """Seconds by the clock and of CPU."""
    return program_seconds([str(file)], {"OMP_NUM_THREADS": "1"})


if __name__ == "__main__":
    sys.exit(main())

"""Data in the layout that jobs of `benchmarks.real_jobs` read, of the published sizes and without their contents.

    python -m benchmarks.real_jobs_fixtures DIR

A folder by the job's name holds what lies beside its program; nothing is downloaded.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

PAPERS, WORDS, CLASSES, CITES = 2708, 1433, 7, 5429


def main(argv: Sequence[str] | None = None) -> int:
    """Write all fixtures into a folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR")
    folder = parser.parse_args(argv).folder
    for name, write in FIXTURES.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        write(folder / name)
        print(folder / name)
    return 0


def _cora(folder: Path) -> None:
    """A graph of papers: number, words and class of each; and who cites whom."""
    (folder / "cora").mkdir(exist_ok=True)
    lines = (f"{paper}\t{_words(paper)}\tclass_{paper % CLASSES}" for paper in range(PAPERS))
    _write(folder / "cora" / "cora.content", lines)
    cites = (f"{number % PAPERS}\t{(number * 7 + 1) % PAPERS}" for number in range(CITES))
    _write(folder / "cora" / "cora.cites", cites)


def _words(paper: int) -> str:
    return "\t".join("1" if (word + paper) % 80 == 0 else "0" for word in range(WORDS))


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


FIXTURES: dict[str, Callable[[Path], None]] = {"ex_gcn": _cora}

if __name__ == "__main__":
    sys.exit(main())

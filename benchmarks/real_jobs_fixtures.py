"""Data in the layout that jobs of `benchmarks.real_jobs` read, of the published sizes and without their contents.

    python -m benchmarks.real_jobs_fixtures DIR

A folder by the job's name holds what lies beside its program; nothing is downloaded.
"""

import argparse
import json
import pickle
import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

PAPERS, WORDS, CLASSES, CITES = 2708, 1433, 7, 5429
"""Of Cora."""
LETTERS = {"train": 1_003_854, "val": 111_540}
LETTER_KINDS = 65
"""Of the Shakespeare texts that nanoGPT prepares letter by letter."""
INSTRUCTIONS, WITH_INPUT = 52_002, 0.4
"""Rows of Alpaca's file, and the part of them that has an input."""


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


def _letters(folder: Path) -> None:
    """Tokens of 16 bits, and what they stand for."""
    to = folder / "data" / "shakespeare_char"
    to.mkdir(parents=True, exist_ok=True)
    for name, length in LETTERS.items():
        numbers = array("H", (number * 7 % LETTER_KINDS for number in range(length)))
        (to / f"{name}.bin").write_bytes(numbers.tobytes())
    letters = {chr(32 + number): number for number in range(LETTER_KINDS)}
    meta = {"vocab_size": LETTER_KINDS, "stoi": letters, "itos": {number: one for one, number in letters.items()}}
    (to / "meta.pkl").write_bytes(pickle.dumps(meta))


def _instructions(folder: Path) -> None:
    """Instructions with their answers, some with an input."""
    rows = [
        {
            "instruction": _sentence(row, 10),
            "input": _sentence(row, 12) if row % 10 < 10 * WITH_INPUT else "",
            "output": _sentence(row, 30 + row % 31),
        }
        for row in range(INSTRUCTIONS)
    ]
    (folder / "alpaca_data.json").write_text(json.dumps(rows))


def _sentence(row: int, words: int) -> str:
    return " ".join(f"word{(row * 31 + word * 17) % 997}" for word in range(words))


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


FIXTURES: dict[str, Callable[[Path], None]] = {
    "alpaca": _instructions,
    "ex_gcn": _cora,
    "nanogpt_shk": _letters,
}

if __name__ == "__main__":
    sys.exit(main())

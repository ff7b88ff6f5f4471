"""Rows of measured steps as a CSV has them, one a step: which program, on which GPU type, how many seconds."""

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from kilowait.core import hardware
from kilowait.core.errors import InputError
from kilowait.files.rows import open_text

NEEDED = ("source", "model", "mode", "precision", "batch", "gpu", "n_gpus", "step_ms", "samples_per_s")


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredStep:
    """Seconds of one step on `gpus` GPUs of a type, by its source; `row` are the cells as they stand in the table."""

    source: str
    model: str
    gpu: str
    gpus: int
    seconds: float
    row: Mapping[str, str]


def read_steps(path: Path | str) -> list[MeasuredStep]:
    """The rows of a CSV (.gz too) that have a time on a GPU type of the catalogue.

    Raises InputError naming the file, and the row and cell that are wrong. A time is `step_ms`, or `batch` samples at
    `samples_per_s`.
    """
    return list(_steps(Path(path)))


def _steps(path: Path) -> Iterator[MeasuredStep]:
    try:
        with open_text(path) as file:
            reader = csv.DictReader(file)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(f"{path}: no column {', '.join(missing)}; the layout of steps has {', '.join(NEEDED)}")
            for number, row in enumerate(reader, 2):
                step = _step(path, number, {**row, "torch_major": row.get("torch_version", "").partition(".")[0]})
                if step is not None:
                    yield step
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: not a table of steps: {error}") from error


def _step(path: Path, number: int, row: dict[str, str]) -> MeasuredStep | None:
    cells = {name: _number(path, number, name, row[name]) for name in ("step_ms", "samples_per_s", "batch", "n_gpus")}
    if cells["step_ms"]:
        seconds = cells["step_ms"] / 1e3
    elif cells["samples_per_s"] and cells["batch"]:
        seconds = cells["batch"] / cells["samples_per_s"]
    else:
        return None
    if not hardware.is_known(row["gpu"]):
        return None
    return MeasuredStep(
        source=row["source"],
        model=row["model"],
        gpu=hardware.canonical(row["gpu"]),
        gpus=int(cells["n_gpus"] or 1),
        seconds=seconds,
        row=row,
    )


def _number(path: Path, number: int, name: str, text: str) -> float:
    """0 for an empty cell."""
    try:
        value = float(text) if text else 0.0
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise InputError(f"{path}, line {number}: {name} must be a number > 0, got {text!r}")
    return value

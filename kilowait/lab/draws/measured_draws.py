"""Sweeps of power limits and watts of served models, read from their public tables, and the program of each.

`networks.json` in the folder of programs says which program a network is, and the length that it is given. Not read:
anything but limits that all boards of a run share (Perseus's `zeus_global`), and models served on more than one GPU.
"""

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.errors import InputError
from kilowait.predict.dryrun.dry_program import DryProgram

PROGRAM, BESIDE, NETWORKS = "power_step.py", "placing.py", "networks.json"
ZEUS, PERSEUS, SERVED = "zeus", "perseus", "ml.energy"


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredDraw:
    """Watts a board of one network on one GPU type at limits (K,) in ascending order, and seconds in some unit of work.

    `network` is what is left out together, `bubbles` the share of time that a pipeline's stages wait for one another.
    """

    source: str
    gpu: str
    network: str
    arguments: tuple[str, ...]
    limits_w: FloatArray
    seconds: FloatArray
    watts: FloatArray
    bubbles: float = 0.0

    @property
    def full_w(self) -> float:
        """Watts at the highest limit."""
        return float(self.watts[-1])

    @property
    def board_w(self) -> float:
        """The highest limit, which is the board's own."""
        return float(self.limits_w[-1])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    source: str
    gpu: str
    network: str
    arguments: tuple[str, ...]
    bubbles: float
    limit_w: float
    seconds: float
    watts: float


def read_draws(zeus: Path, perseus: Path, served: Path, programs: Path) -> list[MeasuredDraw]:
    """Everything that the three tables say of known networks; raises InputError for a table that is another."""
    try:
        known = json.loads((programs / NETWORKS).read_text(encoding="utf-8"))
        rows = [*_zeus(zeus, known), *_perseus(perseus, known), *_served(served, known)]
    except (OSError, KeyError, ValueError) as error:
        raise InputError(f"not the tables of power measurements: {error!r}; kilowait lab power --help") from error
    groups: dict[tuple[object, ...], dict[float, list[_Row]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        groups[row.source, row.gpu, row.network, row.arguments, row.bubbles][row.limit_w].append(row)
    return [_draw(by_limit) for by_limit in groups.values()]


def _draw(by_limit: Mapping[float, list[_Row]]) -> MeasuredDraw:
    limits = sorted(by_limit)
    first = by_limit[limits[0]][0]
    return MeasuredDraw(
        source=first.source,
        gpu=first.gpu,
        network=first.network,
        arguments=first.arguments,
        bubbles=first.bubbles,
        limits_w=np.array(limits),
        seconds=np.array([fmean(row.seconds for row in by_limit[limit]) for limit in limits]),
        watts=np.array([fmean(row.watts for row in by_limit[limit]) for limit in limits]),
    )


def _cells(path: Path) -> Iterator[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _zeus(path: Path, known: Mapping[str, Any]) -> Iterator[_Row]:
    for cells in _cells(path):
        network, length = known["zeus"][f"{cells['dataset']}/{cells['network']}"]
        yield _Row(
            source=ZEUS,
            gpu=known["zeus_gpus"][cells["gpu"]],
            network=network,
            arguments=(network, cells["batch_size"], str(length)),
            bubbles=0.0,
            limit_w=float(cells["power_limit"]),
            seconds=float(cells["time_per_epoch"]),
            watts=float(cells["average_power"]),
        )


def _perseus(path: Path, known: Mapping[str, Any]) -> Iterator[_Row]:
    for cells in _cells(path):
        if cells["policy"] != "zeus_global":
            continue
        network, length = known["perseus"][cells["model_name"]]
        stages, batches = int(cells["pp"]), int(cells["num_microbatches"])
        boards = stages * int(cells["dp"]) * int(cells["tp"])
        seconds = float(cells["time"])
        yield _Row(
            source=PERSEUS,
            gpu=known["perseus_gpus"][cells["gpu"]],
            network=network,
            arguments=(network, cells["microbatch_size"], str(length)),
            bubbles=(stages - 1) / (stages - 1 + batches),
            limit_w=max(float(cells[name]) for name in cells if name.startswith("power_limit_") and cells[name]),
            seconds=seconds,
            watts=float(cells["energy"]) / seconds / boards,
        )


def _served(path: Path, known: Mapping[str, Any]) -> Iterator[_Row]:
    for cells in _cells(path):
        network, tokens = known["served"].get(cells["model"]), known["served_tokens"].get(cells["workload"])
        if network and tokens and cells["n_gpus"] == "1" and cells["power_w"]:
            yield _Row(
                source=SERVED,
                gpu=cells["gpu"],
                network="decode",
                arguments=(network, str(int(float(cells["batch"]))), str(tokens)),
                bubbles=0.0,
                limit_w=float(known["served_limits"][cells["gpu"]]),
                seconds=float(cells["step_ms"]) / 1e3,
                watts=float(cells["power_w"]),
            )


def program_of(draw: MeasuredDraw, folder: Path) -> DryProgram:
    """One step of a network, to be run dry; raises InputError for a folder without the program."""
    try:
        files = {name: (folder / name).read_bytes() for name in (PROGRAM, BESIDE)}
    except OSError as error:
        raise InputError(
            f"{error.filename}: programs of power measurements need this file: {error.strerror}"
        ) from error
    text = json.dumps([*(hashlib.sha256(body).hexdigest() for body in files.values()), *draw.arguments])
    content_hash = hashlib.sha256(text.encode()).hexdigest()
    return DryProgram(files=files, entrypoint=PROGRAM, arguments=draw.arguments, content_hash=content_hash)

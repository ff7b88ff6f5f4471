"""Cells of the study on disk and as Ray tasks: what is finished is kept at once and never computed again."""

import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import ray
from tqdm import tqdm

from kilowait.core.errors import InputError
from kilowait.files import parquet
from kilowait.lab.backtest.backtest import PolicySpec
from kilowait.lab.backtest.content import code_digest, content_digest
from kilowait.lab.study.factorial import Cell, Point, SeededWorld, WorldFamily, cell_rows
from kilowait.lab.study.rates import RateWorld, keeps_up, measure_rate

Row = dict[str, object]


class CellFiles:
    """Finished cells in a folder, one Parquet file each under its key; a torn file counts as missing."""

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self._folder, self._schema = folder, schema

    def load(self, key: str) -> list[Row] | None:
        """The rows, None where the cell has not been finished."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            rows: list[Row] = parquet.read_table(path, self._schema).to_pylist()
        except InputError as error:
            print(f"{error}; computing it again", file=sys.stderr)
            return None
        return rows

    def save(self, key: str, rows: Sequence[Row]) -> None:
        """Keep a finished cell, atomically."""
        parquet.write_table(parquet.table(rows, self._schema), self._path(key))

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.parquet"


@ray.remote
def run_cell(world: SeededWorld, cell: Cell) -> list[Row]:
    """A Ray task: the rows of one cell."""
    return cell_rows(world, cell, time.process_time)


@ray.remote
def run_rate(world: RateWorld, spec: PolicySpec, budget_s: float) -> Row:
    """A Ray task: one rate under one policy."""
    return measure_rate(world, spec, clock=time.process_time, budget_s=budget_s)


def finish(points: Sequence[Point], families: Mapping[str, WorldFamily], store: CellFiles) -> list[Row]:
    """The rows of `columns.STUDY` of all points, in their order; cells that are not in `store` are run and kept."""
    digests = {name: content_digest(family.world) for name, family in families.items()}
    keyed = [(point, [cell.key(digests[point.family]) for cell in point.cells]) for point in points]
    wanted = {key: (point.family, cell) for point, keys in keyed for key, cell in zip(keys, point.cells, strict=True)}
    found = {key: rows for key in wanted if (rows := store.load(key)) is not None}
    if found:
        print(f"{len(found)} of {len(wanted)} cells are already there", file=sys.stderr)
    missing = {key: where for key, where in wanted.items() if key not in found}
    found |= _run(missing, families, store)
    return [_placed(point, row) for point, keys in keyed for key in keys for row in found[key]]


def _run(
    missing: dict[str, tuple[str, Cell]], families: Mapping[str, WorldFamily], store: CellFiles
) -> dict[str, list[Row]]:
    """Run these cells, the last first: those of many types take longest, and none is left for the end."""
    shared = {name: ray.put(families[name].world) for name in {name for name, _ in missing.values()}}
    tasks = {run_cell.remote(shared[name], cell): key for key, (name, cell) in reversed(missing.items())}
    done: dict[str, list[Row]] = {}
    with tqdm(total=len(tasks), desc="study", unit="cell", file=sys.stderr) as bar:
        waiting = list(tasks)
        while waiting:
            ready, waiting = ray.wait(waiting)
            key = tasks[ready[0]]
            done[key] = ray.get(ready[0])
            store.save(key, done[key])
            bar.update()
    return done


def _placed(point: Point, row: Row) -> Row:
    place = {"part": point.part, "world": point.world, "information": point.information, "x": point.x}
    return {**row, **place, "policy": point.policy}


def finish_rates(
    rates: Sequence[float], classes: str, seed: int, policies: Sequence[PolicySpec], budget_s: float, store: CellFiles
) -> list[Row]:
    """Rows of `columns.RATES`, one run at a time because they are timed; a policy that falls behind goes no further."""
    rows: list[Row] = []
    with tqdm(total=len(policies) * len(rates), desc="rates", unit="run", file=sys.stderr) as bar:
        for spec in policies:
            for place, rate in enumerate(sorted(rates)):
                row = _finished_rate(RateWorld(rate=rate, classes=classes, seed=seed), spec, budget_s, store)
                rows.append(row)
                bar.update()
                if not keeps_up(row):
                    bar.update(len(rates) - place - 1)
                    break
    return rows


def _finished_rate(world: RateWorld, spec: PolicySpec, budget_s: float, store: CellFiles) -> Row:
    policy = [spec.policy, sorted(spec.parameters.items())]
    key = content_digest([code_digest(), world, policy, budget_s])
    kept = store.load(key)
    row = kept[0] if kept else ray.get(run_rate.remote(world, spec, budget_s))
    if not kept:
        store.save(key, [row])
    return row | {"policy": spec.label}

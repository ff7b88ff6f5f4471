"""Small worlds whose truth is known, for the commands that learn from labels."""

import shutil

import numpy as np
import pytest

from kilowait.files.columns import LABELS
from kilowait.files.parquet import read_table, table, write_table
from kilowait.lab.evaluate.dry_run_shards import write_dry_runs
from kilowait.predict.dryrun.record import Kind
from pipelines.evaluate.features_cache import dry_runs_folder
from tests.support.operation_world import dry_run_of, operation
from tests.support.probe_world import RELATIVE_TIME, write_world


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    write_world(folder, extra=True)
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """60 programs in 30 groups and 3 families; the A6000 takes 2, the T4 5 times what an A100 takes, with 20% noise.

    On the programs of f0 the A6000 takes half. Times are some ms: half of them over 1 ms or so. Vectors and dry runs
    stand beside it, so that nothing is computed.
    """
    folder = tmp_path_factory.mktemp("world")
    write_world(folder)
    features = folder / "corpus" / ".features"
    shutil.move(folder / "embeddings", features / "embeddings")
    rng = np.random.default_rng(0)
    rows, runs = [], []
    for row in read_table(folder / "labels.parquet", LABELS).to_pylist():
        if row["device_type"] == "cpu-1":
            own = {"energy_j": None, "energy_provenance": None}
            types = {**RELATIVE_TIME, "A6000": 0.5} if row["family"] == "f0" else RELATIVE_TIME
            for device, factor in types.items():
                runtime = row["runtime_s"] * 1e-3 * factor * np.exp(0.2 * rng.normal())
                rows.append({**row, **own, "device_type": device, "runtime_s": runtime})
            work = operation(Kind.GEMM, row["runtime_s"] * 1e9, 1e5)
            runs.append(dry_run_of(row["content_hash"], [work]))
    write_dry_runs(dry_runs_folder(features.parent), runs)
    write_table(table(rows, LABELS), folder / "corpus" / "labels.parquet")
    return folder / "corpus"

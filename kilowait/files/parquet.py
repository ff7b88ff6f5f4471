"""Tables on disk: read with a check of their columns, and written so that a reader never sees half of one.

Every table goes through `write_table`, which writes to a temporary name and renames, so that a killed process never
leaves half a file under the final name. Which columns a table has is in `kilowait.files.columns`.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from kilowait.core.errors import InputError
from kilowait.core.private_files import make_private
from kilowait.files.atomic import replacing
from kilowait.files.columns import ADDED_COLUMNS
from kilowait.files.rows import Row


def table(rows: Sequence[Mapping[str, object]], schema: pa.Schema) -> pa.Table:
    """Rows as a table of exactly this schema; a missing key becomes null."""
    return pa.Table.from_pylist([dict(row) for row in rows], schema=schema)


def write_table(data: pa.Table, path: Path | str, *, private: bool = False) -> None:
    """Write Parquet (zstd) atomically: a reader sees the old file or the new one; `private` is for its owner alone."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        if private:
            make_private(partial)
        pq.write_table(data, partial, compression="zstd")


def read_any_table(path: Path) -> pa.Table:
    """Read Parquet of whatever columns; raises InputError for what is none."""
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise InputError(f"{path}: not a readable Parquet file: {error}") from error


def text_rows(path: Path, data: pa.Table) -> Iterator[Row]:
    """The rows of a table that was read from `path`, as text, numbered from 1; null is empty."""
    line = 0
    for batch in data.to_batches(max_chunksize=10_000):
        for values in batch.to_pylist():
            line += 1
            text = {column: "" if value is None else str(value) for column, value in values.items()}
            yield Row(path=path, line=line, values=text, unit="row")


def read_table(path: Path | str, schema: pa.Schema) -> pa.Table:
    """Read Parquet that has at least this schema's columns; raises InputError naming what is missing.

    Columns that were added to a schema later are filled in for tables that are older than they.
    """
    path = Path(path)
    data = read_any_table(path)
    missing = [name for name in schema.names if name not in data.column_names]
    for name in [name for name in missing if name in ADDED_COLUMNS]:
        data = data.append_column(name, pa.array([ADDED_COLUMNS[name]] * data.num_rows, pa.string()))
        missing.remove(name)
    if missing:
        raise InputError(f"{path}: lacks the columns {', '.join(missing)}; it has {', '.join(data.column_names)}")
    return data

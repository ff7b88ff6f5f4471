"""`datasets.load_dataset` where the data set is not in the cache: from the catalogue, else a default that is said."""

from __future__ import annotations

import os
import re
from functools import wraps
from typing import Any

from kilowait.predict.dryrun.standins import published_facts
from kilowait.predict.dryrun.standins.data.absent import DEFAULT_IMAGE, DEFAULT_ROWS, DEFAULT_TEXT, Absent
from kilowait.predict.dryrun.standins.data.absent_rows import AnyRow, AskedNames, row_of, text_length
from kilowait.predict.dryrun.standins.data.folders import Folders
from kilowait.predict.dryrun.standins.data.hub_stream import HubStream
from kilowait.predict.dryrun.standins.data.hub_table import HubTable
from kilowait.predict.dryrun.standins.data.hub_tables import HubTables
from kilowait.predict.dryrun.standins.given_sizes import given_for

_FORMATS = ("json", "csv", "text", "parquet", "arrow", "pandas", "xml", "webdataset")
_PART = re.compile(r"(?P<name>[\w.-]+)(\[(?P<start>-?\d+%?)?:(?P<end>-?\d+%?)?\])?$")


def stand_in_hub_sets(module: Any, absent: Absent, folders: Folders) -> None:
    """Replace what loads and joins data sets in the `datasets` package."""
    real = module.load_dataset

    @wraps(real)
    def load(path: Any, name: Any = None, data_dir: Any = None, data_files: Any = None, split: Any = None, *args: Any,
             streaming: bool = False, **kwargs: Any) -> Any:  # fmt: skip
        try:
            return real(path, name, data_dir, data_files, split, *args, streaming=streaming, **kwargs)
        except Exception as error:
            tables = _tables(absent, folders, str(path), name, data_dir, data_files, error)
        found = tables if split is None else _split(tables, split)
        if not streaming:
            return found
        return (
            HubStream(found)
            if isinstance(found, HubTable)
            else {part: HubStream(table) for part, table in found.items()}
        )

    module.load_dataset = load
    _joining(module)
    module.load_from_disk = _from_disk(module.load_from_disk, absent, folders)


def _from_disk(real: Any, absent: Absent, folders: Folders) -> Any:
    def load(path: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return real(path, *args, **kwargs)
        except FileNotFoundError as error:
            if str(path) in absent.written:
                raise
            return _tables(absent, folders, str(path), None, None, None, error)

    return load


def _joining(module: Any) -> None:
    for name in ("concatenate_datasets", "interleave_datasets"):
        setattr(module, name, _joined(getattr(module, name)))


def _joined(real: Any) -> Any:
    def join(parts: Any, *args: Any, **kwargs: Any) -> Any:
        if not any(type(part) in (HubTable, HubStream) for part in parts):
            return real(parts, *args, **kwargs)
        tables = [part.table if type(part) is HubStream else part for part in parts]
        first: Any = tables[0]
        joined = first._derived(sum(map(len, tables)), lambda number: first._raw(number % max(1, len(first))))
        return HubStream(joined) if type(parts[0]) is HubStream else joined

    return join


def _tables(
    absent: Absent, folders: Folders, path: str, name: Any, data_dir: Any, data_files: Any, error: Exception
) -> HubTables:
    if path in ("imagefolder", "audiofolder") or (data_dir and os.path.isdir(str(data_dir))):
        return _image_folder(folders, data_dir or data_files or path)
    if path in _FORMATS:
        return _of_files(absent, data_files or data_dir or path)
    found = published_facts.hub_set(path, name)
    given = given_for(absent.recorder.assumed, path, f"{path}/{name}" if name else None)
    is_local = path.startswith((".", "/")) or path.endswith(".py")
    if found is None and is_local and given is None and not folders.may_list(path):
        raise error
    if found is None or given is not None:
        return _unknown(absent, path, found[1] if found else None, given)
    return _known(absent, *found)


def _known(absent: Absent, name: str, facts: dict[str, Any]) -> HubTables:
    rows = facts["rows"]
    texts = f", texts of {text_length(facts)} letters on average" if "string" in str(facts["columns"]) else ""
    counts = ", ".join(f"{split} {count:,}" for split, count in rows.items())
    mark, how = published_facts.certainty(facts)
    absent.recorder.assume(f"data set {name} has the rows {counts}{texts} ({mark})", how)
    if texts and "row_bytes" not in facts:
        absent.default(f"data set {name}: texts of {DEFAULT_TEXT} letters")
    return HubTables({split: _table(split, count, facts) for split, count in rows.items()})


def _table(split: str, count: int, facts: dict[str, Any]) -> HubTable:
    table = HubTable(count, lambda number: row_of(facts, number), list(facts["columns"]), facts["columns"])
    table.split = split
    return table


def _unknown(absent: Absent, name: str, facts: Any, given: Any) -> HubTables:
    """Rows whose columns are what the program asks for; as many in the test split as a tenth."""
    rows = given.rows if given is not None and given.rows else DEFAULT_ROWS
    if given is not None and given.rows:
        absent.recorder.assume(f"data set {name} has {rows:,} rows (given: {given.text})", "given")
    else:
        absent.default(f"data set {name} has {rows:,} rows, texts of {DEFAULT_TEXT} letters")
    if facts is not None:
        return HubTables({split: _table(split, rows, facts) for split in facts["rows"]})

    def any_table(count: int) -> HubTable:
        kinds: dict[str, Any] = {"text": "string", "label": {"classes": 2}}
        return HubTable(count, lambda number: AnyRow(number, {"text": "", "label": 0}), AskedNames(kinds), kinds)

    return HubTables(train=any_table(rows), validation=any_table(rows // 10), test=any_table(rows // 10))


def _of_files(absent: Absent, data_files: Any) -> HubTables:
    """The rows of files that are not there, by split."""
    by_split = data_files if isinstance(data_files, dict) else {"train": data_files}
    made = {}
    for split, files in by_split.items():
        file = files[0] if isinstance(files, (list, tuple)) else files
        size = absent.size_of(str(file))
        facts = size.facts if size.facts and "columns" in size.facts else None
        rows = (size.given.rows if size.given else None) or (facts or {}).get("rows", DEFAULT_ROWS)
        absent.said(size, f"{rows:,} rows")
        if facts is not None:
            made[split] = _table(split, rows, facts)
        else:
            made[split] = _unknown(absent, str(file), None, None)["train"]._derived(rows, AnyRow)
    return HubTables(made)


def _image_folder(folders: Folders, folder: Any) -> HubTables:
    folder = next(iter(folder.values())) if isinstance(folder, dict) else folder
    images = folders.image_set(str(folder))
    columns = {"image": "image", "label": {"classes": images.classes}}
    facts = {"columns": columns, "image": images.size or DEFAULT_IMAGE}
    return HubTables(train=_table("train", images.count, facts))


def _split(tables: HubTables, split: Any) -> Any:
    """`train`, `train[:80%]`, `train+test`."""
    if isinstance(split, (list, tuple)):
        return [_split(tables, part) for part in split]
    parts = [_part(tables, part.strip()) for part in str(split).split("+")]
    if len(parts) == 1:
        return parts[0]
    return parts[0]._derived(sum(map(len, parts)), lambda number: parts[0]._raw(number % max(1, len(parts[0]))))


def _part(tables: HubTables, text: str) -> HubTable:
    found = _PART.match(text)
    name = found.group("name") if found else text
    if name == "all":
        return _split(tables, "+".join(tables))
    if name not in tables:
        raise ValueError(f'Unknown split "{name}". Should be one of {list(tables)}.')
    table: HubTable = tables[name]
    if found is None or "[" not in text:
        return table
    bounds = [_bound(found.group(side), len(table)) for side in ("start", "end")]
    return table.select(range(*slice(*bounds).indices(len(table))))


def _bound(text: Any, length: int) -> Any:
    if not text:
        return None
    return round(int(text[:-1]) * length / 100) if text.endswith("%") else int(text)

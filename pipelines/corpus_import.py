"""What `kilowait lab corpus --import` writes: programs, manifest, labels, timings and what was refused."""

import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from kilowait.core.errors import InputError
from kilowait.files.atomic import write_text
from kilowait.files.columns import POOLED_LABELS, TIMINGS
from kilowait.files.parquet import table, write_table
from kilowait.lab.corpus import kernelbench
from kilowait.lab.corpus.kernelbench import Imported, Refused

from .corpus import write_programs

LABELS_FILE, TIMINGS_FILE, REFUSED_FILE = "labels.parquet", "timings.parquet", "refused.json"
_SHOWN = 5


def import_corpus(kind: str, checkout: str, timings: Path | None, levels: str, out: Path) -> str:
    """Import and write; returns the summary. Raises InputError for what cannot be imported."""
    if kind != "kernelbench":
        raise InputError(f"--import {kind}: the only kind there is is kernelbench")
    if timings is None:
        raise InputError("--import kernelbench needs --timings FILE, the table of measured times")
    imported = kernelbench.import_kernelbench(checkout, timings, _levels(levels))
    manifest, labels = kernelbench.manifest_rows(imported), kernelbench.label_rows(imported)
    texts = {row["path"]: imported.programs[row["content_hash"]] for row in manifest}
    write_programs(texts, manifest, out, besides=(LABELS_FILE, TIMINGS_FILE, REFUSED_FILE))
    write_table(table([asdict(timing) for timing in imported.timings], TIMINGS), out / TIMINGS_FILE)
    write_table(table(labels, POOLED_LABELS), out / LABELS_FILE)
    _write_refused(out / REFUSED_FILE, imported.refused)
    for row in imported.refused[:_SHOWN]:
        print(f"refused: {timings}, line {row.line}, column {row.column}: {row.reason}", file=sys.stderr)
    return _summary(imported, labels, out)


def _levels(text: str) -> frozenset[str]:
    levels = frozenset(part.strip() for part in text.split(",") if part.strip())
    if not levels or not all(level.isdigit() for level in levels):
        raise InputError(f"--levels must be numbers like 1,2, got {text!r}")
    return levels


def _write_refused(path: Path, refused: Sequence[Refused]) -> None:
    rows = [asdict(row) for row in refused]
    write_text(path, json.dumps({"count": len(rows), "refused": rows}, indent=2) + "\n")


def _summary(imported: Imported, labels: Sequence[dict[str, object]], out: Path) -> str:
    """What was imported and what was not, in a few lines."""
    families = Counter(row["family"] for row in kernelbench.manifest_rows(imported))
    devices = Counter(row["device_type"] for row in labels)
    runs = {device: sorted({t.run for t in imported.timings if t.device_type == device}) for device in devices}
    columns = Counter(row.column for row in imported.refused)
    why = f" ({', '.join(f'{column} {count}' for column, count in columns.items())})" if columns else ""
    return "\n".join(
        [
            f"{len(imported.programs)} programs and {len(labels)} labels of {len(imported.timings)} timings in {out}",
            f"refused   {len(imported.refused)} rows{why}, in {out / REFUSED_FILE}; "
            f"{imported.other_levels} rows of other levels",
            f"families  {', '.join(f'{name} {count}' for name, count in families.items())}",
            f"flagged   {sum(bool(row['flagged']) for row in labels)} labels whose runs differ by more than "
            f"{kernelbench.TOLERANCE:.0%}; where a type has several runs its label is their geometric mean",
            *(
                f"{device:<9} {count} labels, measured in {', '.join(runs[device])}"
                for device, count in devices.items()
            ),
        ]
    )

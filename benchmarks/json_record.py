"""What a benchmark found, as JSON, where --json asks for it."""

import json
from pathlib import Path
from typing import Any


def keep(record: Any, path: Path | None) -> None:
    """Write a record, its folder too; nothing without a path."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")

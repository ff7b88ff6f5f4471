"""What was advised, by its id: a file each, so that a job that has ended can be compared with all of it."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kilowait.advise.advice import Advice
from kilowait.files.atomic import write_text

VARIABLE = "KILOWAIT_ADVICE"


def ledger_folder(environment: Mapping[str, str]) -> Path:
    """Where it is kept: what KILOWAIT_ADVICE names, else below the user's state."""
    if given := environment.get(VARIABLE):
        return Path(given)
    state = environment.get("XDG_STATE_HOME") or Path(environment.get("HOME") or Path.home()) / ".local" / "state"
    return Path(state) / "kilowait" / "advice"


def slurm_history(environment: Mapping[str, str]) -> Path:
    """Where jobs of Slurm are learnt from unless something else is said."""
    return ledger_folder(environment).parent / "slurm.db"


def keep(advice: Advice, base: Advice, folder: Path) -> Path:
    """Write it down, with the predictions before any correction (`base`); raises OSError."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"{advice.advice_id}.json"
    before = {name: on.to_dict() for name, on in base.by_type.items()}
    vector = [round(part, 6) for part in advice.vector]
    record = {**advice.to_dict(), "base_by_type": before, "advised_s": time.time(), "vector": vector}
    write_text(path, json.dumps(record))
    return path


def kept(advice_id: str, folder: Path) -> Mapping[str, Any] | None:
    """What was advised, None where it is not (or no longer) written down."""
    try:
        record: Mapping[str, Any] = json.loads((folder / f"{advice_id}.json").read_text())
    except (OSError, ValueError):
        return None
    return record

"""kappa.json: what tuning found, by table of job classes and rule; the backtest reads it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kilowait.core.errors import InputError
from kilowait.core.jobs import Provenance
from kilowait.files.atomic import write_text
from kilowait.lab.backtest.front import Pick
from kilowait.lab.backtest.objective import ObjectiveWeights

VERSION = 1

Tuned = Mapping[str, Mapping[str, Pick]]
"""By table of job classes, then by the name of the rule, a criterion or "budget 5%": the trial it picked."""


def write_kappa(path: Path, tuned: Tuned, settings: Mapping[str, Any]) -> None:
    """Write atomically; `settings` says which samples the trials saw."""
    body = {
        "version": VERSION,
        "provenance": Provenance.MODELLED,
        "settings": dict(settings),
        "classes": {
            name: {criterion: _entry(pick) for criterion, pick in picks.items()} for name, picks in tuned.items()
        },
    }
    write_text(path, json.dumps(body, indent=2) + "\n")


def _entry(pick: Pick) -> dict[str, Any]:
    """The trial with the rule that picked it, and why."""
    rule = {"weights": asdict(pick.rule)} if isinstance(pick.rule, ObjectiveWeights) else asdict(pick.rule)
    return asdict(pick.trial) | rule | {"why": pick.why}


def read_kappa(path: Path) -> dict[str, dict[str, float]]:
    """Kappa (per kWh) by table of job classes and criterion; raises InputError for anything else."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"--kappa {path}: neither a number nor a readable kappa.json: {error}") from error
    try:
        if body["version"] != VERSION:
            raise InputError(f"--kappa {path}: version {body['version']!r}; this kilowait reads {VERSION}")
        return {
            name: {criterion: float(entry["kappa"]) for criterion, entry in best.items()}
            for name, best in body["classes"].items()
        }
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(f"--kappa {path}: no file written by kilowait lab tune-kappa: {error!r}") from error

"""Which program a measured step is of: `steps.json` in a folder of programs.

    {"programs": [{"match": {"source": ["timm-results"], "compile": ["no"]}, "files": ["timm_step.py", "placing.py"],
                   "arguments": ["{model}", "{mode}", "{batch}"], "families": "timm_families.json"}]}

A row goes with the first entry whose `match` names its cells; the first of `files` is started with `arguments`, in
which {column} is the row's cell. `families` is a JSON of kinds of network and the models of each; without one every
model is a family. `models_per_family` and `programs_per_model` say how many of them a fit draws (0: all).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec

from kilowait.core.errors import InputError
from kilowait.lab.steps.measured_steps import MeasuredStep
from kilowait.predict.dryrun.dry_program import DryProgram

FILE = "steps.json"


class ProgramEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One entry of `steps.json`."""

    match: dict[str, list[str]]
    files: list[str]
    arguments: list[str]
    families: str = ""
    models_per_family: int = 0
    programs_per_model: int = 0

    def fits(self, row: Mapping[str, str]) -> bool:
        """Whether the cells of a row are among those that it names."""
        return all(row.get(name, "") in values for name, values in self.match.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgram:
    """The program of a step, the kind of network it is, and the entry that says so."""

    program: DryProgram
    family: str
    entry: ProgramEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPrograms:
    """The programs of a folder."""

    entries: tuple[ProgramEntry, ...]
    texts: Mapping[str, bytes]
    families: Mapping[str, Mapping[str, str]]

    @classmethod
    def read(cls, folder: Path | str) -> Self:
        """What `steps.json` says; raises InputError naming the file that is missing or wrong."""
        folder = Path(folder)
        try:
            entries = msgspec.json.decode((folder / FILE).read_bytes(), type=dict[str, list[ProgramEntry]])["programs"]
            texts = {name: (folder / name).read_bytes() for entry in entries for name in entry.files}
            named = {entry.families for entry in entries if entry.families}
            families = {name: _by_model(json.loads((folder / name).read_text(encoding="utf-8"))) for name in named}
        except OSError as error:
            raise InputError(f"{error.filename}: programs of steps need this file: {error.strerror}") from error
        except (msgspec.MsgspecError, KeyError, ValueError) as error:
            raise InputError(f"{folder / FILE}: not a list of programs: {error}") from error
        return cls(entries=tuple(entries), texts=texts, families=families)

    def of(self, step: MeasuredStep) -> StepProgram | None:
        """The program of a row; None where no entry is for it. Raises InputError for a column that there is not."""
        entry = next((entry for entry in self.entries if entry.fits(step.row)), None)
        if entry is None:
            return None
        try:
            arguments = tuple(text.format_map(step.row) for text in entry.arguments)
        except KeyError as error:
            raise InputError(f"{FILE}: {entry.files[0]} is given {error}, which no column of the steps is") from error
        files = {name: self.texts[name] for name in entry.files}
        family = self.families.get(entry.families, {}).get(step.model, step.model)
        program = DryProgram(
            files=files, entrypoint=entry.files[0], arguments=arguments, content_hash=_hash(files, arguments)
        )
        return StepProgram(program=program, family=family, entry=entry)


def _by_model(found: Mapping[str, Any]) -> dict[str, str]:
    return {str(model): family for family, models in found.items() for model in models}


def _hash(files: Mapping[str, bytes], arguments: tuple[str, ...]) -> str:
    parts = [*sorted((name, hashlib.sha256(text).hexdigest()) for name, text in files.items()), *arguments]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

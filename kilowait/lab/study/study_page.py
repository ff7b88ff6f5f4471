"""The study's page and its numbers: study.html and study.json from rows alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kilowait.lab.study.effects import Group, groups
from kilowait.lab.study.rates_section import rates_section
from kilowait.lab.study.sections import (
    bias_section,
    error_section,
    fairness_section,
    information_section,
    types_section,
)
from kilowait.report.page import Section, write_page


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyInputs:
    """Rows of `columns.STUDY` and `columns.RATES`, and facts for the head; a part without rows is left out."""

    rows: Sequence[Mapping[str, Any]]
    rates: Sequence[Mapping[str, Any]]
    parts: Sequence[str]
    facts: Mapping[str, str]
    scheduler_w: float
    budget_s: float


def write_study(out_dir: Path, inputs: StudyInputs) -> Path:
    """Write the page of the study; returns its path."""
    found = groups(inputs.rows)
    return write_page(
        out_dir, "study", title="kilowait: the factorial study", facts=inputs.facts, sections=_sections(inputs, found)
    )


def _sections(inputs: StudyInputs, found: Sequence[Group]) -> list[Section]:
    makers = {
        "information": (information_section, fairness_section),
        "error": (error_section,),
        "bias": (bias_section,),
        "types": (types_section,),
    }
    sections = [make(found) for part in inputs.parts if part in makers for make in makers[part]]
    if "rates" in inputs.parts:
        sections.append(rates_section(inputs.rates, found, scheduler_w=inputs.scheduler_w, budget_s=inputs.budget_s))
    return sections

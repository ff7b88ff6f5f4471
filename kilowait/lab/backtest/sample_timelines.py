"""One sample of a backtest drawn under every policy: a file each, and a section of the page."""

import re
from collections.abc import Sequence
from pathlib import Path

from kilowait.core.jobs import Provenance
from kilowait.files.atomic import write_text
from kilowait.lab.backtest.backtest import PolicySpec, run_policy
from kilowait.lab.backtest.scenario.paper_scenario import Sample
from kilowait.report.page import Section, figure
from kilowait.simulate.timeline import timeline

PATTERN = "timeline-*.svg"


def write_timelines(folder: Path, sample: Sample, specs: Sequence[PolicySpec], name: str) -> list[Path]:
    """Run a sample under each policy and draw it; earlier drawings of the folder go. Returns the files."""
    for earlier in folder.glob(PATTERN):
        earlier.unlink()
    paths = []
    for spec in specs:
        path = folder / f"timeline-{re.sub(r'[^A-Za-z0-9.]+', '-', spec.label).strip('-')}.svg"
        write_text(path, timeline(run_policy(sample, spec), f"{name} under {spec.label}"))
        paths.append(path)
    return paths


def timeline_section(folder: Path) -> list[Section]:
    """The drawings of a folder, in the order of their names; nothing where there are none."""
    paths = sorted(folder.glob(PATTERN))
    if not paths:
        return []
    body = "".join(
        figure(path.read_text(encoding="utf-8"), f"Every job on its boards: {path.stem}.", Provenance.MODELLED)
        for path in paths
    )
    return [Section(key="timelines", heading="One sample, job by job", body=body, data=[p.name for p in paths])]

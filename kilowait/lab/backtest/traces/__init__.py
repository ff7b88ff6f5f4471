"""Readers of real cluster traces: one module a format, and the table of them.

Formats with a second file (node, task or throughput table) look for it beside the first under its published name,
unless it is named. Not covered: traces that are themselves split over several files.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from kilowait.core.errors import InputError
from kilowait.lab.backtest.traces import gavel_trace, generic, openb, pai, philly, swf
from kilowait.lab.backtest.traces.trace import Aside, Reason, Trace, TraceJob, TraceReading, TraceReport, assemble

__all__ = ["FORMATS", "Aside", "Format", "Reason", "Trace", "TraceJob", "TraceReading", "TraceReport", "read_trace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A trace format: its reader, and the name its second file has where it has one."""

    read: Callable[[Path, Path | None], TraceReading]
    describes: str
    side_table: str | None = None


FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        "swf": Format(read=swf.read, describes="Standard Workload Format, .gz too"),
        "philly": Format(read=philly.read, describes="Microsoft Philly as CSV"),
        "openb": Format(read=openb.read, describes="Alibaba 2023 pods", side_table="openb_nodes.csv"),
        "pai": Format(read=pai.read, describes="Alibaba PAI 2020 job table", side_table="pai_task_table.csv"),
        "gavel": Format(read=gavel_trace.read, describes="Gavel's jobs", side_table="gavel_isolated_throughputs.csv"),
        "generic": Format(read=generic.read, describes="our own columns, CSV or Parquet"),
    }
)
"""The formats by the name that commands take."""


def read_trace(
    path: Path | str,
    name: str,
    *,
    side_table: Path | str | None = None,
    vc: str | None = None,
    limit: int | None = None,
) -> Trace:
    """Read a trace in the format `name`; `vc` keeps one virtual cluster, `limit` the first jobs by submission.

    Raises InputError for an unknown format, a second file that the format does not have, a limit below 1, a file or
    cell that cannot be read, and when no job is left.
    """
    path = Path(path)
    if name not in FORMATS:
        raise InputError(f"unknown trace format {name!r}; choose from {', '.join(FORMATS)}")
    if limit is not None and limit < 1:
        raise InputError(f"--limit must be >= 1, got {limit!r}")
    beside = _side_table(path, name, side_table)
    return assemble(FORMATS[name].read(path, beside), source=path.name, name=name, vc=vc, limit=limit)


def _side_table(path: Path, name: str, given: Path | str | None) -> Path | None:
    usual = FORMATS[name].side_table
    if given is not None and usual is None:
        raise InputError(f"--side-table {given}: the format {name} has no second file")
    if given is not None:
        return Path(given)
    return path.with_name(usual) if usual is not None and path.with_name(usual).is_file() else None

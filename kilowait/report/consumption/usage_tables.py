"""A report of usage as tables: for a terminal, for a page, and as CSV with a row a job."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kilowait.report.table import NOTHING, TableView

_COLUMNS = ("measured", "estimated", "modelled", "pretended")
_HEADINGS = {"co2_kg": "kg CO2", "water_l": "litres", "gpu_cost": "GPU cost", "energy_cost": "energy cost"}
CSV_COLUMNS = (
    *("job_id", "attempts", "gpu_hours", "failed_gpu_hours"),
    *(f"{kind}_kwh" for kind in _COLUMNS),
    *(*_HEADINGS, "kwh_without_carbon", "gpu_hours_without_price", "currency"),
)


def tables(report: Mapping[str, Any]) -> list[TableView]:
    """Totals by owner, group, project and type, without those that say nothing; findings last."""
    views = [_totals("All", {"all": report["total"]}, report)]
    for name in ("owner", "group", "project", "gpu_type"):
        rows = report["by"][name]
        if len(rows) > 1 or name == "gpu_type":
            views.append(_totals(f"By {name.replace('gpu_type', 'GPU type')}", rows, report))
    return [*views, *([_findings(report["findings"])] if report["findings"] else [])]


def _totals(title: str, rows: Mapping[str, Mapping[str, Any]], report: Mapping[str, Any]) -> TableView:
    kinds = [kind for kind in _COLUMNS if report["total"]["energy_kwh"].get(kind, 0) or kind != "pretended"]
    amounts = [name for name in _HEADINGS if report["total"][name] is not None]
    money = {name: f"{_HEADINGS[name]}, {report['currency']}" for name in ("gpu_cost", "energy_cost")}
    return TableView(
        title=title,
        headings=(
            *("", "jobs", "GPU-hours", "of these failed"),
            *(f"kWh {kind}" for kind in kinds),
            *({**_HEADINGS, **money}[name] for name in amounts),
        ),
        rows=tuple(
            (
                *(name, str(row["jobs"]), number(row["gpu_hours"]), number(row["failed_gpu_hours"])),
                *(number(row["energy_kwh"].get(kind, 0.0)) for kind in kinds),
                *(number(row[amount]) for amount in amounts),
            )
            for name, row in rows.items()
        ),
        provenance="times measured, energy as its columns say",
    )


def _findings(found: Sequence[Mapping[str, Any]], most: int = 30) -> TableView:
    more = (f"and {len(found) - most} more, in JSON",) if len(found) > most else ()
    return TableView(
        title="Asked for too much or too little",
        headings=("job", "owner", "GPU-hours", "what was found", "what to do"),
        rows=tuple(
            (one["job_id"], one["owner"], number(one["gpu_hours"]), one["found"], one["remedy"]) for one in found[:most]
        ),
        provenance="from what meters and the driver read",
        prose=True,
        notes=more,
    )


def statement_table(statement: Mapping[str, Any]) -> TableView:
    """The statement's points, a row each."""
    resources, energy = statement["point_2d"], statement["point_2e"]
    gpus = ", ".join(f"{count} x {name}" for name, count in resources["gpus"].items())
    span = f"{_day(resources['first_start_s'])} to {_day(resources['last_end_s'])} UTC"
    rows = [
        ("2 (d) computational resources", f"up to {gpus} in one attempt; {number(resources['gpu_hours'])} GPU-hours"),
        ("2 (d) training time", f"{number(resources['training_hours'])} h, {span}"),
        ("2 (d) of these in attempts that failed", f"{number(resources['failed_gpu_hours'])} GPU-hours"),
        (f"2 (e) {energy['kind']} energy consumption", f"{number(energy['energy_kwh'])} kWh of GPU boards"),
        *((f"    {part['provenance']}", _how(part)) for part in energy["by_method"]),
    ]
    if energy["pue"] != 1:
        rows.append(("2 (e) with the site", f"{number(energy['with_pue_kwh'])} kWh at a PUE of {energy['pue']:g}"))
    if (co2 := statement["beside"]["co2_kg"]) is not None:
        rows.append(("beside: CO2, location-based", f"{number(co2)} kg"))
    return TableView(
        title=f"Training of {statement['model']}: Annex XI, Section 1, point 2, of Regulation (EU) 2024/1689",
        headings=("point", "what is known"),
        rows=tuple(rows),
        provenance=f"energy {energy['kind']}",
        notes=tuple(statement["not_covered"]),
        prose=True,
    )


def _how(part: Mapping[str, Any]) -> str:
    meters = f" (meter: {', '.join(part['meters'])})" if part["meters"] else ""
    return f"{number(part['energy_kwh'])} kWh; {part['method']}{meters}"


def usage_csv(report: Mapping[str, Any]) -> str:
    """A row a job."""
    out = io.StringIO()
    writer = csv.DictWriter(out, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for job_id, row in report["by"]["job"].items():
        kwh = {f"{kind}_kwh": row["energy_kwh"].get(kind, 0.0) for kind in _COLUMNS}
        writer.writerow({**row, **kwh, "job_id": job_id, "currency": report["currency"]})
    return out.getvalue()


def number(value: float | None) -> str:
    """Three digits, a dash for what is not known."""
    if value is None:
        return NOTHING
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")

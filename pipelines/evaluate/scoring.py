"""Lines of the accuracy tables: every model under every split, together, by device type and by family."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from kilowait.core.arrays import FloatArray
from kilowait.core.jobs import Provenance
from kilowait.files.columns import RESIDUALS
from kilowait.files.parquet import table, write_table
from kilowait.lab.evaluate.dataset import Dataset
from kilowait.predict.accuracy import Accuracy, accuracy, noise_floor
from kilowait.predict.probe.bundle import unit_of

FLOOR = "noise floor"
SPLITS = ("9:1 by script", "cv by script", "cv by group")
COLUMNS = ("n", "mae", "rmse", "mape", "median_ape", "r2", "r2_log", "spearman", "nonpositive")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of an accuracy table: who, under which split, on which slice of the measured labels."""

    metric: str
    split: str
    model: str
    device_type: str
    family: str
    accuracy: Accuracy


def score(study: Dataset, metric: str, split: str, model: str, predicted: FloatArray) -> Iterator[Line]:
    """All measured labels together, then by device type, then by family."""
    all_rows = study.measured[metric] & np.isfinite(predicted) & np.isfinite(study.metrics[metric])
    family = np.array(study.row_keys(study.families))
    slices = [("all", "all", all_rows)]
    slices += [(name, "all", all_rows & (study.device == i)) for i, name in enumerate(study.device_types)]
    slices += [("all", name, all_rows & (family == name)) for name in sorted(set(study.families))]
    for device_type, name, mask in slices:
        if mask.any():
            truth = study.metrics[metric][mask]
            scores = noise_floor(truth, study.spread[mask]) if model == FLOOR else accuracy(truth, predicted[mask])
            yield Line(metric=metric, split=split, model=model, device_type=device_type, family=name, accuracy=scores)


def residual_rows(
    study: Dataset, metric: str, predicted: FloatArray, model: str = "default"
) -> Iterator[dict[str, object]]:
    """Rows of columns.RESIDUALS for the measured labels that were predicted out of fold."""
    for row in np.flatnonzero(study.measured[metric] & np.isfinite(predicted)):
        script = study.script[row]
        yield {
            "content_hash": study.scripts[script],
            "family": study.families[script],
            "device_type": study.device_types[study.device[row]],
            "metric": metric,
            "measured": float(study.metrics[metric][row]),
            "predicted": float(predicted[row]),
            "model": model,
        }


def _left_out(study: Dataset) -> dict[str, dict[str, str]]:
    """Metrics and device types whose labels support no claim, with how they were had."""
    devices_by_metric = {
        metric: {
            device: str(provenance) for device, provenance in by_device.items() if provenance != Provenance.MEASURED
        }
        for metric, by_device in study.provenance.items()
    }
    return {metric: devices for metric, devices in devices_by_metric.items() if devices}


def write_tables(
    out: Path,
    study: Dataset,
    lines: Sequence[Line],
    residuals: Sequence[Mapping[str, object]],
    settings: Mapping[str, object],
) -> None:
    """Write every table to the folder `out`; `settings` go into accuracy.json."""
    out.mkdir(parents=True, exist_ok=True)
    whole = [line for line in lines if line.device_type == line.family == "all"]
    _write_csv(out / "accuracy.csv", whole)
    _write_csv(out / "accuracy_by_device.csv", [line for line in lines if line.device_type != "all"])
    _write_csv(out / "accuracy_by_family.csv", [line for line in lines if line.family != "all"])
    write_table(table(residuals, RESIDUALS), out / "residuals.parquet")
    report = {
        "labels": {"sha256": study.digest, **counts(study)},
        **settings,
        "left_out": _left_out(study),
        "rows": [flat(line) for line in lines],
    }
    (out / "accuracy.json").write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def counts(study: Dataset) -> dict[str, object]:
    """What the label table holds."""
    return {
        "labels": len(study.script),
        "scripts": len(study.scripts),
        "groups": len(set(study.groups)),
        "families": len(set(study.families)),
        "device_types": list(study.device_types),
        "flagged": int(study.flagged.sum()),
    }


def flat(line: Line) -> dict[str, object]:
    """A line as one row of plain values."""
    data = asdict(line)
    return {**{k: v for k, v in data.items() if k != "accuracy"}, **data["accuracy"]}


def _write_csv(path: Path, lines: Sequence[Line]) -> None:
    names = ["metric", "split", "model", "device_type", "family", *COLUMNS]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(flat(line) for line in lines)


def as_text(study: Dataset, lines: Sequence[Line]) -> str:
    """The one table: every model under every split, all measured labels together."""
    out = ["{labels} labels of {scripts} scripts in {groups} groups, {flagged} flagged".format(**counts(study))]
    for metric, devices in _left_out(study).items():
        listing = ", ".join(f"{name}: {value}" for name, value in devices.items())
        out.append(f"left out of the accuracy tables: {metric} ({listing}; not measured)")
    for metric in dict.fromkeys(line.metric for line in lines):
        unit = unit_of(metric)
        head = [
            f"{metric}, out of fold",
            "n",
            f"MAE {unit}",
            f"RMSE {unit}",
            "MAPE",
            "median APE",
            "R2",
            "R2 log",
            "Spearman",
        ]
        for split in SPLITS:
            body = [_cells(line) for line in lines if _is_main(line, metric, split)]
            out += ["", split, *_aligned([head, *body])]
    return "\n".join(out)


def _is_main(line: Line, metric: str, split: str) -> bool:
    return (line.metric, line.split, line.device_type, line.family) == (metric, split, "all", "all")


def _cells(line: Line) -> list[str]:
    a = line.accuracy
    optional = ["-" if v is None else f"{v:.3f}" for v in (a.r2, a.r2_log, a.spearman)]
    return [line.model, str(a.n), f"{a.mae:.4g}", f"{a.rmse:.4g}", f"{a.mape:.1%}", f"{a.median_ape:.1%}", *optional]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in rows
    ]

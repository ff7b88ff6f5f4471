"""What `kilowait predict` prints for people: a table a file, and below it where the numbers come from."""

from collections.abc import Sequence
from typing import Any

from kilowait.cli.by_the_hour.when_text import when_lines
from kilowait.cli.by_the_hour.within_text import within_lines
from kilowait.cli.costs import cost_lines
from kilowait.cli.memory_text import batch_lines, memory_lines
from kilowait.cli.watts.power_text import limit_lines
from kilowait.predict.dry_runs import scaled

_SHOWN = 5
_TIMES = ("within", "when")
_BESIDE = ("runtime_low_s", "runtime_high_s", "provenance", "memory", "memory_need", "cost", "power_limits", *_TIMES)
"""What a device type's entry holds beside its metrics."""


def as_text(report: dict[str, Any]) -> str:
    """The whole report."""
    blocks = [_block(entry) for entry in report["predictions"]]
    labels = "; ".join(f"{metric} from {_of_kinds(of)} labels" for metric, of in report["label_provenance"].items())
    footer = f"probe {report['probe_version']} on {' + '.join(report['features'])}\n"
    for key, name in (("own_device_model", "the bundle's device model"), ("device_model", "device model")):
        if key in report:
            model = report[key]
            footer += f"{name} {model['version']}, from {model['programs']} programs of {model['source']}\n"
    return "\n".join([*blocks, f"{footer}all numbers are modelled: {labels}\n"])


def _of_kinds(provenance: dict[str, str]) -> str:
    """How labels were had, with their device types."""
    kinds = dict.fromkeys(provenance.values())
    devices = {kind: ", ".join(device for device, of in provenance.items() if of == kind) for kind in kinds}
    return ", ".join(f"{kind} ({names})" for kind, names in devices.items())


def _block(entry: dict[str, Any]) -> str:
    """One file's table."""
    lines = [" ".join([entry["file"], *entry["arguments"]]), *_files_lines(entry), _request_line(entry["request"])]
    lines += [*_facts(entry), *_dry_runs(entry)]
    lines += _table(entry["devices"]) if entry["devices"] else ["  no device type that was asked for is predicted"]
    lines += limit_lines(entry["devices"])
    lines += [*within_lines(entry["devices"]), *when_lines(entry["devices"])]
    lines += [*memory_lines(entry["devices"]), *batch_lines(entry), *cost_lines(entry["devices"])]
    return "\n".join([*lines, *_provenance(entry["devices"])]) + "\n"


def _facts(entry: dict[str, Any]) -> list[str]:
    """What a person checks first: parameters, steps, samples a step, peak memory."""
    run = next((entry[key] for key in ("dry_run", "own_dry_run") if entry[key].get("parameters")), None)
    if run is None:
        return []
    facts = [f"{scaled(run['parameters']).strip()} parameters"]
    if run["steps"] and not run["unbounded"]:
        facts.append(f"{run['steps']:,.0f} steps")
        facts += [f"{run['samples'] / run['steps']:,.4g} samples a step"] if run["samples"] else []
    facts += [f"ends by itself after {run['limit_s']:,.0f} s"] if run["limit_s"] else []
    return [f"  {', '.join([*facts, _peak(run)])}"]


def _peak(run: dict[str, Any]) -> str:
    return f"peak memory {scaled(run['peak_memory_bytes']).strip()}B"


def _dry_runs(entry: dict[str, Any]) -> list[str]:
    """What the dry runs found that were asked for; of the GPU types' alone where none was."""
    own_run, gpu_run = entry["own_dry_run"], entry["dry_run"]
    lines = [f"  dry run for the bundle's types: {own_run['summary']}"] if own_run["outcome"] != "off" else []
    if gpu_run["outcome"] != "off" or not lines:
        lines.append(f"  dry run: {gpu_run['summary']}")
    return [*lines, *_surroundings(own_run, gpu_run)]


def _surroundings(*runs: dict[str, Any]) -> list[str]:
    """Which Python the program ran under, what was assumed, what is missing, and what it asked for in vain."""
    found = dict.fromkeys(run["interpreter"] for run in runs if run.get("interpreter"))
    unset = dict.fromkeys(name for run in runs for name in run.get("unset", ()))
    lines = [f"  interpreter: {', '.join(found)}"] if found else []
    for name, word in (("assumptions", "assumed"), ("missing", "missing")):
        lines += [f"  {word}: {line}" for line in dict.fromkeys(line for run in runs for line in run.get(name, ()))]
    return lines + ([f"  reads unset variables: {', '.join(unset)} (set one with --env NAME=VALUE)"] if unset else [])


def _table(devices: dict[str, dict[str, Any]]) -> list[str]:
    """A row a device type; the interval of the run time is a column where any type has one."""
    metrics = list(dict.fromkeys(name for numbers in devices.values() for name in numbers if name not in _BESIDE))
    intervals = any(numbers["runtime_low_s"] is not None for numbers in devices.values())
    rows = [["device type", *metrics], *([device, *_cells(numbers, metrics)] for device, numbers in devices.items())]
    if intervals:
        column = ["90% interval", *map(_interval, devices.values())]
        position = 2 + metrics.index("runtime_s")
        rows = [[*row[:position], cell, *row[position:]] for row, cell in zip(rows, column, strict=True)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    marks = ["", *(numbers.get("memory", "") for numbers in devices.values())]
    return [
        ("  " + "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) + f"  {mark}").rstrip()
        for row, mark in zip(rows, marks, strict=True)
    ]


def _cells(numbers: dict[str, Any], metrics: Sequence[str]) -> list[str]:
    return [f"{numbers[metric]:.4g}" if metric in numbers else "-" for metric in metrics]


def _interval(numbers: dict[str, Any]) -> str:
    if numbers["runtime_low_s"] is None:
        return "-"
    return f"{numbers['runtime_low_s']:.3g} to {numbers['runtime_high_s']:.3g}"


def _provenance(devices: dict[str, dict[str, Any]]) -> list[str]:
    """How the numbers were had, the types of one kind together."""
    kinds = dict.fromkeys(numbers["provenance"] for numbers in devices.values())
    by_kind = {kind: [name for name, n in devices.items() if n["provenance"] == kind] for kind in kinds}
    return [f"  {', '.join(names)}: {kind}" for kind, names in by_kind.items()]


def _files_lines(entry: dict[str, Any]) -> list[str]:
    """The files read where there are several, the first of those left out, what the arguments mean, and notes."""
    lines = [f"  files: {', '.join(entry['files'])}"] if len(entry["files"]) > 1 else []
    if entry["left_out"]:
        shown = [f"{path} ({reason})" for path, reason in list(entry["left_out"].items())[:_SHOWN]]
        hidden = len(entry["left_out"]) - len(shown)
        lines.append(f"  left out: {'; '.join(shown)}" + (f"; {hidden} more, in --json" if hidden else ""))
    if entry["arguments_in_effect"]:
        values = (
            f"{name}={argument['value']} ({argument['evidence']})"
            for name, argument in entry["arguments_in_effect"].items()
        )
        lines.append(f"  arguments in effect: {', '.join(values)}")
    if entry.get("novelty", {}).get("new_kind"):
        distance = f"{entry['novelty']['distance']:.2g} times as far as the threshold"
        lines.append(f"  note: unlike the programs that the probes learnt from ({distance}); their intervals are wider")
    return [*lines, *(f"  note: {note}" for note in entry["notes"])]


def _request_line(request: dict[str, Any]) -> str:
    types = ", ".join(request["gpu_types"] or ()) or "any type"
    return f"  asks for {request['gpus']} GPU(s) of {types} ({'; '.join(request['evidence'])})"

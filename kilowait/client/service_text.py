"""The live service's answers as text for a terminal; every modelled or pretended number says so."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kilowait.core.units import HOUR_S

Json = Mapping[str, Any]


def submitted(answer: Json) -> str:
    """An accepted job."""
    lines = [f"{answer['job_id']}  accepted; probe {answer['probe_version']}"]
    asks = answer["asks_for"]
    lines.append(f"  asks for {asks['gpus']} GPU(s) of {', '.join(asks['gpu_types'] or ()) or 'any type'}")
    lines += [f"  note: {warning}" for warning in answer["warnings"]]
    return "\n".join(lines) + "\n" + _expectations(answer["by_type"])


def batch(answers: Sequence[Json]) -> str:
    """What became of several programs, a line each."""
    return "".join(map(_of_batch, answers))


def _of_batch(answer: Json) -> str:
    if (made := answer["accepted"]) is not None:
        notes = "".join(f"; note: {warning}" for warning in made["warnings"])
        return f"{made['job_id']}  {answer['program']}  accepted{notes}\n"
    no = answer["refused"]
    return f"-             {answer['program']}  refused: {no['detail']}; {no['remedy']}\n"


def jobs(answer: Sequence[Json]) -> str:
    """A list of jobs."""
    rows = [[*_line(job)] for job in answer]
    return (
        table(["job", "state", "owner", "gpus", "type", "program", "submitted", "note"], rows) if rows else "no jobs\n"
    )


def job(answer: Json) -> str:
    """One job in full."""
    lines = [
        f"{answer['job_id']}  {answer['state']}",
        f"  owner {answer['owner']}, submitted {at(answer['submitted_s'])}",
    ]
    lines.append(f"  {answer['entrypoint']} {' '.join(answer['arguments'])}".rstrip())
    if answer["reason"]:
        lines.append(f"  reason: {answer['reason']}")
    if answer["labels"]:
        lines.append("  labels: " + ", ".join(f"{name}={text}" for name, text in answer["labels"].items()))
    if answer["deadline"]:
        lines.append(f"  deadline {answer['deadline']} (shown, not enforced)")
    lines += [f"  {_expected(answer['expected'])}"] if answer["expected"] else []
    lines += [f"  {_progress(answer['progress'])}"] if answer["progress"] else []
    lines += [f"  {_attempt(attempt)}" for attempt in answer["attempts"]]
    return "\n".join(lines) + "\n" + _expectations(answer["by_type"])


def cancelled(answer: Json) -> str:
    """What became of a job that was cancelled."""
    done = answer["state"] == "cancelled"
    return f"{answer['job_id']}  {'cancelled' if done else 'its program was asked to end'}\n"


def why(answer: Json) -> str:
    """Why a job is where it is."""
    lines = [
        f"{answer['job_id']}  {answer['state']}: {answer['summary']}",
        f"  policy {answer['policy']}: {answer['rule']}",
    ]
    if answer["criterion"]:
        first = "largest" if answer["larger_first"] else "smallest"
        lines.append(f"  {answer['criterion']}, the {first} first")
    text = "\n".join(lines) + "\n"
    rows = [
        [
            "->" if one["chosen"] else "",
            one["gpu_type"],
            f"{one['free']} of {one['total']}",
            str(one["gpus"]),
            span(one["runtime_s"]),
            f"{one['energy_kwh']:.4g}",
            "" if one["rating"] is None else f"{one['rating']:.4g}",
            "" if one["ahead"] is None else str(one["ahead"]),
        ]
        for one in answer["types"]
    ]
    head = ["", "type", "free", "needs", "time (modelled)", "kWh (modelled)", "rating", "before it"]
    text += table(head, rows) if rows else ""
    text += "".join(f"  {gpu_type}: {reason}\n" for gpu_type, reason in answer["not_possible"].items())
    text += "".join(f"  to change: {change}\n" for change in answer["would_change"])
    if answer["expected"]:
        text += f"  {_expected(answer['expected'])}\n  interval from {answer['interval_basis']}\n"
    return text


def what_if(answer: Json) -> str:
    """What a job would get."""
    head = ["type", "start in", "earliest", "latest", "end in", "kWh", "note"]
    rows = []
    for one in (answer["free_choice"], *answer["held_to"]):
        name = one["gpu_type"] or "left to policy"
        found = one["expected"]
        if found is None:
            rows.append([name, "", "", "", "", "", one["not_possible"]])
            continue
        spans = [ahead(t, answer["now_s"]) if t is not None else "?" for t in (
            found["start_s"], found["start_low_s"], found["start_high_s"], found["end_s"])]  # fmt: skip
        note = f"on {found['gpu_type']}" if one["gpu_type"] is None else ""
        rows.append([name, *spans, f"{found['energy_kwh']:.4g}", note + (" late" if found["late"] else "")])
    foot = f"all modelled: {answer['waiting']} jobs wait, policy {answer['policy']}, nobody else submits; "
    return table(head, rows) + foot + f"interval from {answer['interval_basis']}\n"


def cluster(answer: Json) -> str:
    """The cluster."""
    rows = [
        [one["gpu_type"], str(one["total"]), str(one["free"]), str(one["held"]), str(one["jobs_running"])]
        for one in answer["types"]
    ]
    text = table(["type", "GPUs", "free", "held by others", "jobs"], rows)
    text += f"{answer['running']} jobs run, {answer['waiting']} wait, {answer['stranded']} fit nowhere; "
    text += f"policy {answer['policy']}: {answer['rule']}\n"
    for node in answer["nodes"]:
        problem = f"  {node['problem']}" if node["problem"] else "  drains" if node["draining"] else ""
        text += (
            f"  node {node['node'][:12]} at {node['address']}: {node['gpus']} x {node['gpu_type'] or '?'}{problem}\n"
        )
    return text + (f"problem: {answer['problem']}\n" if answer["problem"] else "")


def tokens(answer: Sequence[Json]) -> str:
    """Tokens without secrets."""
    rows = [
        [
            one["token_id"],
            one["owner"],
            one["role"],
            at(one["created_s"]),
            at(one["revoked_s"]) if one["revoked_s"] else "",
        ]
        for one in answer
    ]
    return table(["id", "owner", "role", "made", "revoked"], rows) if rows else "no tokens\n"


def span(seconds: float) -> str:
    """A span of time as people say it."""
    if abs(seconds) < 10:
        return f"{seconds:.3g} s"
    if abs(seconds) < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if abs(seconds) < 5400 else f"{seconds / HOUR_S:.1f} h"


def ahead(then_s: float, now_s: float) -> str:
    """How far off a time is; what was expected to have happened is expected now."""
    return span(max(0.0, then_s - now_s))


def at(seconds: float) -> str:
    """A time of day here."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _line(one: Json) -> Iterable[str]:
    last = one["attempts"][-1]["gpu_type"] if one["attempts"] else ""
    note = one["reason"] or ""
    if one["expected"]:
        note = f"starts in {ahead(one['expected']['start_s'], time.time())} on {one['expected']['gpu_type']} (modelled)"
    elif one["progress"]:
        note = f"{one['progress']['share']:.0%} of its predicted time"
    program = " ".join([one["entrypoint"], *one["arguments"]])[:30]
    return one["job_id"], one["state"], one["owner"], str(one["gpus"]), last, program, at(one["submitted_s"]), note[:60]


def _expected(one: Json) -> str:
    now_s = time.time()
    text = f"expected to start in {ahead(one['start_s'], now_s)} on {one['gpu_type']}"
    if one["start_low_s"] is not None:
        text += f" (90%: {ahead(one['start_low_s'], now_s)} to {ahead(one['start_high_s'], now_s)})"
    text += f", to end in {ahead(one['end_s'], now_s)}, {one['energy_kwh']:.4g} kWh; modelled"
    return text + ("; after its deadline" if one["late"] else "")


def _progress(one: Json) -> str:
    text = f"has run {span(one['run_s'])} ({one['run_provenance']}) of {span(one['predicted_s'])} (modelled)"
    watts = one["power_w"]
    return text + (f", draws {watts['value']:.0f} W ({watts['provenance']})" if watts else "")


def _attempt(one: Json) -> str:
    text = f"attempt {one['attempt']} on {one['gpus']} x {one['gpu_type']}"
    if one["runtime_s"]:
        time_had, energy = one["runtime_s"], one["energy_kwh"]
        text += f": {span(time_had['value'])} ({time_had['provenance']})"
        text += f", {energy['value']:.4g} kWh ({energy['provenance']})"
    return text + (f"; {one['reason']}" if one["reason"] else "")


def _expectations(by_type: Mapping[str, Json]) -> str:
    rows = [
        [
            name,
            span(one["runtime_s"]),
            f"{one['energy_kwh']:.4g}",
            _by(one["features"]),
        ]
        for name, one in by_type.items()
    ]
    return table(["type", "time (modelled)", "kWh (modelled)", "by"], rows)


def _by(features: str) -> str:
    """What predicted, for people."""
    by = "stand-in" if "+standin" in features else "device model" if features.startswith("dry-run") else "probe"
    return by + (", corrected" if features.endswith("+correction") else "")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their headings, the columns as wide as they must be."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)]
    return "".join(f"  {line}\n" for line in lines)

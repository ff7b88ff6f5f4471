"""The live service's answers as text for a terminal; every modelled or pretended number says so."""

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kilowait.core.units import HOUR_S

Json = Mapping[str, Any]
HEAD = ["job", "state", "owner", "gpus", "type", "program", "submitted", "note"]
"""Over a list of jobs."""


def submitted(answer: Json) -> str:
    """An accepted job."""
    lines = [f"{answer['job_id']}  accepted; probe {answer['probe_version']}"]
    request = answer["asks_for"]
    lines.append(f"  asks for {request['gpus']} GPU(s) of {', '.join(request['gpu_types'] or ()) or 'any type'}")
    lines += [f"  note: {warning}" for warning in answer["warnings"]]
    return "\n".join(lines) + "\n" + expectations(answer["by_type"])


def batch(answers: Sequence[Json]) -> str:
    """What became of several programs, a line each."""
    return "".join(map(_of_batch, answers))


def _of_batch(answer: Json) -> str:
    if (accepted := answer["accepted"]) is not None:
        notes = "".join(f"; note: {warning}" for warning in accepted["warnings"])
        return f"{accepted['job_id']}  {answer['program']}  accepted{notes}\n"
    refusal = answer["refused"]
    return f"-             {answer['program']}  refused: {refusal['detail']}; {refusal['remedy']}\n"


def job(answer: Json) -> str:
    """One job in full."""
    lines = [
        f"{called(answer)}  {answer['state']}",
        f"  owner {answer['owner']}, submitted {at(answer['submitted_s'])}",
    ]
    lines.append(f"  {answer['entrypoint']} {' '.join(answer['arguments'])}".rstrip())
    lines += [f"  reason: {answer['reason']}"] if answer["reason"] else []
    lines += [f"  predicted by {answer['prediction']}"] if answer.get("prediction") else []
    lines += _dry_run(answer.get("dry_run"))  # which an earlier service does not say
    lines += [f"  labels: {', '.join(map('='.join, answer['labels'].items()))}"] if answer["labels"] else []
    lines += [f"  deadline {answer['deadline']} (shown, not enforced)"] if answer["deadline"] else []
    lines += [f"  runs after {', '.join(answer['after'])}"] if answer.get("after") else []
    lines += [f"  {answer['kept']['summary']}"] if answer.get("kept") else []
    lines += [f"  {_expected(answer['expected'])}"] if answer["expected"] else []
    lines += [f"  {_progress(answer['progress'])}"] if answer["progress"] else []
    lines += [f"  {_attempt(attempt)}" for attempt in answer["attempts"]]
    return "\n".join(lines) + "\n" + expectations(answer["by_type"])


def _dry_run(said: str | None) -> list[str]:
    """What the dry run found, and each thing that it assumed or lacked, in a line of its own."""
    if not said:
        return []
    return [f"  dry run: {said}".replace("; assumed: ", "\n    assumed: ").replace("; missing: ", "\n    missing: ")]


def cancelled(answer: Json) -> str:
    """What became of a job, or of jobs, that were cancelled, a line each."""
    if "state" in answer:  # one job's view
        done = answer["state"] == "cancelled"
        return f"{answer['job_id']}  {'cancelled' if done else 'its program was asked to end'}\n"
    lines = [f"{job_id}  cancelled" for job_id in answer["cancelled"]]
    lines += [f"{job_id}  its program was asked to end" for job_id in answer["ending"]]
    lines += [f"{job_id}  not cancelled: {why}" for job_id, why in answer["refused"].items()]
    return "\n".join(lines or ["no such job waits or runs"]) + "\n"


def standing(answer: Json) -> str:
    """Where a job that is followed stands, in a line."""
    text = f"{called(answer)}  {answer['state']}"
    return text + (f"; {_expected(answer['expected'])}" if answer["expected"] else "") + "\n"


def ended(answer: Json) -> str:
    """How a job ended, in a line, with what it took beside what was predicted."""
    lines = [f"{called(answer)}  {answer['state']}{': ' + answer['reason'] if answer['reason'] else ''}"]
    last = answer["attempts"][-1] if answer["attempts"] else None
    if last is not None and last["runtime_s"] is not None:
        lines.append(_attempt(last))
    return "; ".join(lines) + "\n"


def called(answer: Json) -> str:
    """A job's id, and its name where it has one."""
    return f"{answer['job_id']} ({answer['name']})" if answer.get("name") else str(answer["job_id"])


def why(answer: Json) -> str:
    """Why a job is where it is."""
    lines = [
        f"{answer['job_id']}  {answer['state']}: {answer['summary']}",
        f"  policy {answer['policy']}: {answer['rule']}",
    ]
    if answer.get("prediction"):
        lines.append(f"  predicted by {answer['prediction']}")
    lines += _dry_run(answer.get("dry_run"))  # which an earlier service does not say
    lines += [f"  {answer['seen']}"] if answer.get("seen") else []
    lines += [f"  it {_steps(answer['steps'])}"] if answer.get("steps") else []
    if answer["criterion"]:
        first = "largest" if answer["larger_first"] else "smallest"
        lines.append(f"  {answer['criterion']}, the {first} first")
    text = "\n".join(lines) + "\n"
    rows = [
        [
            "->" if option["chosen"] else "",
            option["gpu_type"],
            f"{option['free']} of {option['total']}",
            str(option["gpus"]),
            span(option["runtime_s"]),
            f"{option['energy_kwh']:.4g}",
            "" if option["rating"] is None else f"{option['rating']:.4g}",
            "" if option["ahead"] is None else str(option["ahead"]),
        ]
        for option in answer["types"]
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
    for choice in (answer["free_choice"], *answer["held_to"]):
        name = choice["gpu_type"] or "left to policy"
        expected = choice["expected"]
        if expected is None:
            rows.append([name, "", "", "", "", "", choice["not_possible"]])
            continue
        spans = [ahead(t, answer["now_s"]) if t is not None else "?" for t in (
            expected["start_s"], expected["start_low_s"], expected["start_high_s"], expected["end_s"])]  # fmt: skip
        note = f"on {expected['gpu_type']}" if choice["gpu_type"] is None else ""
        rows.append([name, *spans, f"{expected['energy_kwh']:.4g}", note + (" late" if expected["late"] else "")])
    footer = f"all modelled: {answer['waiting']} jobs wait, policy {answer['policy']}, nobody else submits; "
    return table(head, rows) + footer + f"interval from {answer['interval_basis']}\n"


def health(answer: Json) -> str:
    """Whether the service is well, and what holds of the isolation of jobs."""
    text = f"{answer['status']}: kilowait {answer['version']}\n"
    text += f"  scheduler: {answer['scheduler']}\n  predictor: {answer['predictor']}\n"
    isolation = answer["isolation"]
    text += f"  isolation of jobs (asked for: {isolation['asked']}): {isolation['summary']}\n"
    text += "".join(f"    stronger: {line}\n" for line in isolation["missing"])
    return text + "".join(f"    node {address}: {summary}\n" for address, summary in isolation["nodes"].items())


def tokens(answer: Sequence[Json]) -> str:
    """Tokens without secrets."""
    head = ["id", "owner", "role", "for", "made", "expires", "revoked"]
    rows = [
        [
            *(token[name] for name in ("token_id", "owner", "role")),
            ",".join(token.get("scopes") or ["all"]),  # which an earlier service does not say
            *(at(token[name]) if token.get(name) else "" for name in ("created_s", "expires_s", "revoked_s")),
        ]
        for token in answer
    ]
    return table(head, rows) if rows else "no tokens\n"


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
    """A date and time of day in the local time zone."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def line(row: Json) -> Iterable[str]:
    """A job in a list, under `HEAD`."""
    gpu_type = row["attempts"][-1]["gpu_type"] if row["attempts"] else ""
    note = row["reason"] or ""
    if row["expected"]:
        note = f"starts in {ahead(row['expected']['start_s'], time.time())} on {row['expected']['gpu_type']} (modelled)"
    elif row["progress"]:
        steps = row["progress"].get("steps")
        said = "asked" if row.get("kind") == "shell" else "predicted"
        note = f"{row['progress']['share']:.0%} of its {said} time"
        if steps:
            note = f"{steps['done'] / steps['total']:.0%} of its steps, ends in {ahead(steps['end_s'], time.time())}"
    name = f"{row['name']}:{row['task']}" if row.get("array") and row.get("name") else row.get("name")
    if name and row.get("kind") == "shell":
        name = f"{name} (shell)"
    program = (name or " ".join([row["entrypoint"], *row["arguments"]]))[:30]
    return (
        row["job_id"],
        row["state"],
        row["owner"],
        str(row["gpus"]),
        gpu_type,
        program,
        at(row["submitted_s"]),
        note[:60],
    )


def _expected(expected: Json) -> str:
    now_s = time.time()
    text = f"expected to start in {ahead(expected['start_s'], now_s)} on {expected['gpu_type']}"
    if expected["start_low_s"] is not None:
        text += f" (90%: {ahead(expected['start_low_s'], now_s)} to {ahead(expected['start_high_s'], now_s)})"
    text += f", to end in {ahead(expected['end_s'], now_s)}, {expected['energy_kwh']:.4g} kWh; modelled"
    return text + ("; after its deadline" if expected["late"] else "")


def _progress(run: Json) -> str:
    text = f"has run {span(run['run_s'])} ({run['run_provenance']})"
    text += f" of {span(run['predicted_s'])} ({run['predicted_provenance']})"
    watts = run["power_w"]
    text += f", draws {watts['value']:.0f} W ({watts['provenance']})" if watts else ""
    text += f", limited to {run['power_limit_w']:.0f} W a board" if run.get("power_limit_w") else ""
    return text + (f"\n  {_steps(run['steps'])}" if run.get("steps") else "")  # which an earlier service does not say


def _steps(seen: Json) -> str:
    now_s, text = time.time(), f"is at {seen['done']:,.6g} of {seen['total']:,.6g} steps ({seen['done_provenance']})"
    text += f": expected to end in {ahead(seen['end_s'], now_s)}"
    if seen["end_low_s"] is not None:
        text += f" (90%: {ahead(seen['end_low_s'], now_s)} to {ahead(seen['end_high_s'], now_s)})"
    text += f", after {span(seen['runtime_s'])} and {seen['energy_kwh']:.4g} kWh in all; {seen['provenance']}"
    return f"{text}, {seen['ratio']:.2f} times what was predicted"


def _attempt(attempt: Json) -> str:
    text = f"attempt {attempt['attempt']} on {attempt['gpus']} x {attempt['gpu_type']}"
    if attempt["runtime_s"]:
        runtime, energy = attempt["runtime_s"], attempt["energy_kwh"]
        text += f": {span(runtime['value'])} ({runtime['provenance']})"
        text += f", {energy['value']:.4g} kWh ({energy['provenance']})"
    for name, unit in (("carbon_g", "g CO2"), ("water_l", "L of water"), ("electricity_usd", "USD")):
        if amount := attempt.get(name):  # which an earlier service does not say
            text += f", {amount['value']:.4g} {unit} ({amount['provenance']})"
    return text + (f"; {attempt['reason']}" if attempt["reason"] else "")


def expectations(by_type: Mapping[str, Json]) -> str:
    """What is expected on each type."""
    rows = [
        [
            name,
            span(expectation["runtime_s"]),
            f"{expectation['energy_kwh']:.4g}",
            _by(expectation["features"]),
        ]
        for name, expectation in by_type.items()
    ]
    kinds = sorted({one.get("provenance", "modelled") for one in by_type.values()}) or ["modelled"]
    return table(["type", f"time ({', '.join(kinds)})", "kWh (modelled)", "by"], rows)


def _by(features: str) -> str:
    """Which predictor the numbers are from, in words."""
    if features == "asked":
        return "asked for"
    predictor = "stand-in" if "+standin" in features else "device model" if features.startswith("dry-run") else "probe"
    return predictor + (", corrected" if features.endswith("+correction") else "")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their headings, the columns as wide as they must be."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    lines = [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    ]
    return "".join(f"  {line}\n" for line in lines)

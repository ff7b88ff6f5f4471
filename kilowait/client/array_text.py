"""Job arrays as text for a terminal: a line an array, with how many of its tasks are in each state."""

from collections.abc import Mapping, Sequence
from typing import Any

from kilowait.client.service_text import HEAD, at, expectations, line, table

Json = Mapping[str, Any]
ORDER = ("waiting", "running", "finished", "failed", "cancelled")


def submitted(answer: Json) -> str:
    """An accepted array."""
    ids = answer["job_ids"]
    lines = [f"{answer['array_id']}  accepted: {len(ids):,} tasks, {ids[0]} to {ids[-1]}"]
    lines += [f"  note: {warning}" for warning in answer["warnings"]]
    return "\n".join([*lines, "  a task is expected to take"]) + "\n" + expectations(answer["by_type"])


def jobs(answer: Sequence[Json]) -> str:
    """A list of arrays and jobs."""
    rows = [_line(entry) if "array_id" in entry else [*line(entry)] for entry in answer]
    return table(HEAD, rows) if rows else "no jobs\n"


def array(answer: Json) -> str:
    """One array."""
    lines = [
        f"{_called(answer)}  {states(answer)}",
        f"  owner {answer['owner']}, submitted {at(answer['submitted_s'])}",
        f"  {answer['entrypoint']} {' '.join(answer['arguments'])}".rstrip(),
        f"  tasks {answer['tasks']}" + (f", at most {answer['at_once']} at once" if answer["at_once"] else ""),
    ]
    if answer["labels"]:
        lines.append("  labels: " + ", ".join(f"{name}={text}" for name, text in answer["labels"].items()))
    return "\n".join(lines) + f"\n  its tasks: kilowait ps --array {answer['array_id']}\n"


def ended(answer: Json) -> str:
    """How an array ended, in a line."""
    return f"{_called(answer)}  {states(answer)}\n"


def states(answer: Json) -> str:
    """How many tasks are in each state."""
    return ", ".join(f"{answer['states'][name]:,} {name}" for name in ORDER if name in answer["states"])


def _called(answer: Json) -> str:
    return f"{answer['array_id']} ({answer['name']})" if answer["name"] else str(answer["array_id"])


def _line(entry: Json) -> list[str]:
    program = (entry["name"] or " ".join([entry["entrypoint"], *entry["arguments"]]))[:30]
    limit = f"%{entry['at_once']}" if entry["at_once"] else ""
    note = f"tasks {entry['tasks']}{limit}"
    return [entry["array_id"], states(entry), entry["owner"], "", "", program, at(entry["submitted_s"]), note[:60]]

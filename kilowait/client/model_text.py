"""Models that were learnt from finished jobs, as text for a terminal."""

from collections.abc import Mapping
from typing import Any

from kilowait.client.service_text import at, table

Json = Mapping[str, Any]


def models(answer: Json) -> str:
    """Every model, the changes of what is in force, and how the one in force keeps its promise."""
    rows = [
        [
            entry["version"],
            _state(entry),
            at(entry["made_s"]),
            str(entry["jobs"]),
            *_medians(entry),
            entry["base_version"],
            "pretended" if entry["pretended"] else "measured",
        ]
        for entry in answer["models"]
    ]
    head = ["version", "state", "made", "jobs", "error before", "error", "of base", "learnt from"]
    text = table(head, rows) if rows else f"no models yet; predictions are those of {answer['base_version']}\n"
    for change in answer["changes"]:
        text += f"  {at(change['time_s'])}  {_done(change)} by {change['who']}: {change['reason']}\n"
    return text + _drift(answer["drift"])


def model(answer: Json) -> str:
    """One model in full."""
    lines = [
        f"{answer['version']}  {_state(answer)}, made {at(answer['made_s'])}",
        f"  corrects {answer['base_version']}",
        f"  learnt from {answer['jobs']} {'pretended' if answer['pretended'] else 'measured'} jobs, "
        f"the newest {answer['newest_job']} of {at(answer['newest_s'])}",
        f"  {answer['said']}",
    ]
    rows = [
        [
            score["metric"],
            score["jobs_kind"],
            str(score["jobs"]),
            str(score["sources"]),
            *(
                f"{score['median'][predictor]:.3f}" if predictor in score["median"] else "-"
                for predictor in ("base", "current", "candidate")
            ),
            f"{score['difference']:+.3f} [{score['low']:+.3f}, {score['high']:+.3f}]",
        ]
        for score in answer["scores"]
    ]
    head = ["metric", "tested on", "jobs", "sources", "base", "current", "candidate", "change [95%]"]
    footer = "  median |log(measured / predicted)| of each; the change is of the mean, against what was in force\n"
    return "\n".join(lines) + "\n" + (table(head, rows) + footer if rows else "")


def change(answer: Json) -> str:
    """What was done."""
    return f"{_done(answer)}: {answer['reason']}\n"


def _done(entry: Json) -> str:
    return f"{'promoted' if entry['action'] == 'promote' else 'rolled back'} {entry['version']}"


def _state(entry: Json) -> str:
    if entry["state"] != "current" or entry["applied"]:
        return str(entry["state"])
    return "current, not applied: the base predictor is another"


def _medians(entry: Json) -> tuple[str, str]:
    """Median |log error| of run times on the newest jobs, before and with this model."""
    score = next(iter(entry["scores"]), None)
    if score is None:
        return "", ""
    return f"{score['median'][score['incumbent']]:.3f}", f"{score['median']['candidate']:.3f}"


def _drift(drift: Json | None) -> str:
    if drift is None:
        return ""
    text = f"  the last {drift['jobs']} jobs: median |log error| {drift['median']:.3f} "
    text += f"(alarm above {drift['median_band']:.3f})"
    if drift["coverage"] is not None:
        text += f", {drift['coverage']:.0%} in their 90% intervals (alarm below {drift['coverage_band']:.0%})"
    return text + (f"; DRIFT: {drift['beyond']}" if drift["beyond"] else "") + "\n"

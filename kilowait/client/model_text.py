"""Models that were learnt from finished jobs, as text for a terminal."""

from collections.abc import Mapping
from typing import Any

from kilowait.client.service_text import at, table

Json = Mapping[str, Any]


def models(answer: Json) -> str:
    """Every model, the changes of what is in force, and how the one in force keeps its promise."""
    rows = [
        [
            one["version"],
            _state(one),
            at(one["made_s"]),
            str(one["jobs"]),
            *_medians(one),
            one["base_version"],
            "pretended" if one["pretended"] else "measured",
        ]
        for one in answer["models"]
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
            one["metric"],
            one["jobs_kind"],
            str(one["jobs"]),
            str(one["sources"]),
            *(f"{one['median'][who]:.3f}" if who in one["median"] else "-" for who in ("base", "current", "candidate")),
            f"{one['difference']:+.3f} [{one['low']:+.3f}, {one['high']:+.3f}]",
        ]
        for one in answer["scores"]
    ]
    head = ["metric", "tested on", "jobs", "sources", "base", "current", "candidate", "change [95%]"]
    foot = "  median |log(measured / predicted)| of each; the change is of the mean, against what was in force\n"
    return "\n".join(lines) + "\n" + (table(head, rows) + foot if rows else "")


def change(answer: Json) -> str:
    """What was done."""
    return f"{_done(answer)}: {answer['reason']}\n"


def _done(one: Json) -> str:
    return f"{'promoted' if one['action'] == 'promote' else 'rolled back'} {one['version']}"


def _state(one: Json) -> str:
    if one["state"] != "current" or one["applied"]:
        return str(one["state"])
    return "current, not applied: the base predictor is another"


def _medians(one: Json) -> tuple[str, str]:
    """Median |log error| of run times on the newest jobs, before and with this model."""
    first = next(iter(one["scores"]), None)
    if first is None:
        return "", ""
    return f"{first['median'][first['incumbent']]:.3f}", f"{first['median']['candidate']:.3f}"


def _drift(one: Json | None) -> str:
    if one is None:
        return ""
    text = (
        f"  the last {one['jobs']} jobs: median |log error| {one['median']:.3f} (alarm above {one['median_band']:.3f})"
    )
    if one["coverage"] is not None:
        text += f", {one['coverage']:.0%} in their 90% intervals (alarm below {one['coverage_band']:.0%})"
    return text + (f"; DRIFT: {one['beyond']}" if one["beyond"] else "") + "\n"

"""When Kueue is expected to admit what waits: a table, JSON, metrics, annotations."""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from kilowait.advise.advice import ExpectedWait
from kilowait.advise.advice_text import duration
from kilowait.advise.kubernetes.kueue_outlook import expected_admissions
from kilowait.advise.kubernetes.kueue_queue import GROUP, KueueQueue, KueueWorkload, ask_kueue, kubectl
from kilowait.client.service_text import table
from kilowait.core.control_characters import escaped_all
from kilowait.core.errors import InputError, ServiceError
from kilowait.files.atomic import write_text

METRIC = "kilowait_kueue_expected_admission_timestamp_seconds"
ANNOTATION = "kilowait/expected-admission"
BASIS = (
    "modelled: each ClusterQueue by itself, run times drawn around the predictions in annotations; without one about "
    "half of the limit is assumed; nobody else submits"
)


def advise_kueue(args: argparse.Namespace) -> int:
    """Ask the API server by kubectl, and print; raises ServiceError where it does not answer."""
    queues, workloads = ask_kueue()
    now_s = time.time()
    waits = expected_admissions(queues, workloads, now_s)
    if args.metrics is not None:
        try:
            write_text(args.metrics, metrics(waits, workloads, now_s))
        except OSError as error:
            raise InputError(f"--metrics {args.metrics}: cannot be written: {error.strerror}") from error
    report = _report(queues, workloads, waits)
    sys.stdout.write(json.dumps(report, indent=1) + "\n" if args.json else _text(escaped_all(report)))
    if args.annotate:
        _annotate(waits, now_s)
    return 0


def metrics(waits: Mapping[str, ExpectedWait | None], workloads: Sequence[KueueWorkload], now_s: float) -> str:
    """In Prometheus' text format, for the textfile collector of its node exporter."""
    lines = [f"# HELP {METRIC} When Kueue is expected to admit a workload (modelled).", f"# TYPE {METRIC} gauge"]
    for one in workloads:
        if (wait := waits.get(one.key)) is not None:
            names = {"namespace": one.namespace, "workload": one.name, "cluster_queue": one.queue}
            labels = ",".join(f'{name}="{_quoted(value)}"' for name, value in names.items())
            lines.append(f"{METRIC}{{{labels}}} {now_s + wait.wait_s:.0f}")
    return "\n".join(lines) + "\n"


def _quoted(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _annotate(waits: Mapping[str, ExpectedWait | None], now_s: float) -> None:
    """Write it into each workload that waits, in UTC; raises ServiceError, once all that can be written are."""
    failed = list[str]()
    for key, wait in waits.items():
        namespace, _, name = key.partition("/")
        moment = "" if wait is None else time.strftime("=%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s + wait.wait_s))
        change = f"{ANNOTATION}{moment or '-'}"  # NAME- takes it away
        try:
            kubectl(["annotate", f"workloads.{GROUP}", name, f"--namespace={namespace}", "--overwrite", change])
        except ServiceError as error:  # it may have gone meanwhile
            failed.append(str(error))
    if failed:
        raise ServiceError("; ".join(failed))


def _report(
    queues: Sequence[KueueQueue], workloads: Sequence[KueueWorkload], waits: Mapping[str, ExpectedWait | None]
) -> dict[str, Any]:
    held = {(one.queue, one.flavor): 0 for one in workloads}
    for one in workloads:
        held[one.queue, one.flavor] += one.gpus if one.admitted_s is not None else 0
    return {
        "queues": {
            queue.name: {
                "flavors": {
                    name: {"gpus": gpus, "held": held.get((queue.name, name), 0), "gpu_type": queue.types[name] or None}
                    for name, gpus in queue.flavors.items()
                },
                "strict": queue.strict,
                "in_cohort": queue.in_cohort,
            }
            for queue in queues
        },
        "waiting": [
            {"workload": one.key, "owner": one.owner, "queue": one.queue, "gpus": one.gpus, **_seconds(waits[one.key])}
            for one in workloads
            if one.key in waits
        ],
        "provenance": BASIS,
    }


def _seconds(wait: ExpectedWait | None) -> dict[str, float | None]:
    if wait is None:
        return {"wait_s": None, "wait_low_s": None, "wait_high_s": None}
    return {"wait_s": wait.wait_s, "wait_low_s": wait.low_s, "wait_high_s": wait.high_s}


def _text(report: Mapping[str, Any]) -> str:
    lines = [
        f"{name}: "
        + ", ".join(f"{flavor['held']} of {flavor['gpus']} GPUs of {of} held" for of, flavor in found.items())
        for name, queue in report["queues"].items()
        for found in [queue["flavors"]]
    ]
    lines += [
        f"{name} is in a cohort: what it may borrow is not counted"
        for name, queue in report["queues"].items()
        if queue["in_cohort"]
    ]
    head = ["workload", "of", "queue", "GPUs", "admitted in (90% interval)"]
    rows = [
        [one["workload"], one["owner"], one["queue"], str(one["gpus"]), _interval(one)] for one in report["waiting"]
    ]
    lines += [line.removeprefix("  ") for line in table(head, rows).splitlines()] if rows else ["no workload waits"]
    return "\n".join([*lines, report["provenance"]]) + "\n"


def _interval(one: Mapping[str, Any]) -> str:
    if one["wait_s"] is None:
        return "not known: larger than the quota, or behind one without prediction and limit"
    return f"{duration(one['wait_s'])} ({duration(one['wait_low_s'])} to {duration(one['wait_high_s'])})"

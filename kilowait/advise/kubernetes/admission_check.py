"""Kueue's AdmissionChecks answered: does it fit on the GPUs that it was given, and does it meet its deadline.

Kueue reserves quota on a flavor, then asks. What was predicted stands in the annotation that `kilowait admit` wrote
into the job; a job without is let through, and so is every workload of a kind that is never predicted, such as a Pod,
unread. Kueue deactivates what is rejected. The queue is read again every few seconds rather than watched.
"""

import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from threading import Event
from typing import Any

from kilowait.advise.advice import TOO_LARGE
from kilowait.advise.kubernetes.api_server import Call
from kilowait.advise.kubernetes.kueue_queue import (
    GROUP,
    flavor_given,
    holds_quota,
    owner_of,
    predicted_rows,
    type_of_flavor,
)
from kilowait.advise.kubernetes.workload_pods import PREDICTED, at, mappings
from kilowait.core.errors import InputError, ServiceError

CONTROLLER = "kilowait.example.com/fits"
"""What an AdmissionCheck names as its `controllerName`."""
DEADLINE = "kilowait/deadline"
"""The annotation of a job with a moment, as 2026-12-01T08:00:00Z."""
EVERY_S = 5.0
API = f"/apis/{GROUP}/v1beta1"
Json = Mapping[str, Any]


def run_checks(call: Call, stop: Event, every_s: float = EVERY_S) -> None:
    """Answer until it is to stop; a round that fails is complained of and tried again."""
    while not stop.is_set():
        try:
            answer_checks(call, time.time())
        except ServiceError as error:
            sys.stderr.write(f"kilowait: admission checks: {error}\n")
        stop.wait(every_s)


def answer_checks(call: Call, now_s: float) -> dict[str, str]:
    """One round; what each workload that waited for an answer was told, by namespace/name.

    Raises ServiceError, for a workload that cannot be looked at once all others have been told.
    """
    checks = [
        one
        for one in mappings(call(f"{API}/admissionchecks", None).get("items"))
        if at(one, "spec").get("controllerName") == CONTROLLER
    ]
    names = {str(at(one, "metadata").get("name")) for one in checks}
    for one in checks:
        _activate(call, one, now_s)
    if not names:
        return {}
    flavors = mappings(call(f"{API}/resourceflavors", None).get("items"))
    types = {str(at(one, "metadata").get("name")): type_of_flavor(one) for one in flavors}
    told, failed = dict[str, str](), list[str]()
    for workload in mappings(call(f"{API}/workloads", None).get("items")):
        pending = [
            str(state.get("name"))
            for state in mappings(at(workload, "status").get("admissionChecks"))
            if state.get("name") in names and state.get("state") == "Pending"
        ]
        if not pending or not holds_quota(workload):
            continue
        try:
            state, message = verdict(_job_of(call, workload), types.get(flavor_given(workload), ""), now_s)
            _tell(call, workload, pending, state, message, now_s)
        except ServiceError as error:
            failed.append(str(error))
            continue
        metadata = at(workload, "metadata")
        told[f"{metadata.get('namespace')}/{metadata.get('name')}"] = f"{state}: {message}"
    if failed:
        raise ServiceError("; ".join(failed))
    return told


def verdict(job: Json, gpu_type: str, now_s: float) -> tuple[str, str]:
    """(`Ready` or `Rejected`, why) of a job on a GPU type ("" where it is not known)."""
    row = predicted_rows(job).get(gpu_type)
    if row is None:
        return "Ready", f"not predicted on {gpu_type or 'a type that is not known'}"
    if row.get("memory") == TOO_LARGE:
        return "Rejected", f"its memory is predicted to be more than a {gpu_type} has"
    seconds = float(row["seconds"])
    deadline = at(job, "metadata", "annotations").get(DEADLINE)
    if deadline is None:
        return "Ready", f"predicted {seconds:.0f} s on {gpu_type}, modelled"
    try:
        left_s = _moment(deadline) - now_s
    except InputError as error:
        return "Ready", str(error)
    if seconds > left_s:
        return (
            "Rejected",
            f"predicted {seconds:.0f} s on {gpu_type}, and {max(0.0, left_s):.0f} s are left to {deadline}",
        )
    return "Ready", f"predicted {seconds:.0f} s on {gpu_type}, {left_s:.0f} s before {deadline}"


def _moment(text: Any) -> float:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError as error:
        raise InputError(f"{DEADLINE} {text!r} is no time; write it as 2026-12-01T08:00:00Z") from error
    if moment.tzinfo is None:
        raise InputError(f"{DEADLINE} {text!r} has no zone; write it as 2026-12-01T08:00:00Z")
    return moment.timestamp()


def _job_of(call: Call, workload: Json) -> Json:
    """The object that owns it; {} where there is none, or one of a kind that nobody predicts."""
    owner = owner_of(workload)
    version, kind = str(owner.get("apiVersion")), str(owner.get("kind"))
    if (version.partition("/")[0], kind) not in PREDICTED:
        return {}
    namespace = at(workload, "metadata").get("namespace")
    return call(f"/apis/{version}/namespaces/{namespace}/{kind.lower()}s/{owner.get('name')}", None)


def _tell(call: Call, workload: Json, names: list[str], state: str, message: str, now_s: float) -> None:
    metadata = at(workload, "metadata")
    namespace, name = metadata.get("namespace"), metadata.get("name")
    states = [
        {"name": check, "state": state, "message": message[:1000], "lastTransitionTime": _written(now_s)}
        for check in names
    ]
    body = {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "Workload",
        "metadata": {"name": name, "namespace": namespace},
        "status": {"admissionChecks": states},
    }
    call(f"{API}/namespaces/{namespace}/workloads/{name}/status", body)


def _activate(call: Call, check: Json, now_s: float) -> None:
    """Say that somebody answers; Kueue holds everything back until then."""
    conditions = mappings(at(check, "status").get("conditions"))
    if any(one.get("type") == "Active" and one.get("status") == "True" for one in conditions):
        return
    name = at(check, "metadata").get("name")
    active = {"type": "Active", "status": "True", "reason": "Active", "message": "kilowait answers"}
    body = {
        "apiVersion": f"{GROUP}/v1beta1",
        "kind": "AdmissionCheck",
        "metadata": {"name": name},
        "status": {"conditions": [{**active, "lastTransitionTime": _written(now_s)}]},
    }
    call(f"{API}/admissionchecks/{name}/status", body)


def _written(now_s: float) -> str:
    return datetime.fromtimestamp(now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

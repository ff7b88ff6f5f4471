"""Kueue's AdmissionChecks, against an API server that is played over real HTTPS. No real one was at hand."""

import json
import ssl
import threading
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kilowait.advise.kubernetes.admission_check import API, CONTROLLER, answer_checks, verdict
from kilowait.advise.kubernetes.api_server import api_server
from kilowait.core.errors import ServiceError
from tests.advise.test_kueue import FLAVORS, workload
from tests.support.own_certificate import write_certificate

NOW_S = datetime(2026, 11, 30, 12, 0, tzinfo=UTC).timestamp()


def job(memory="fits", deadline=None, **annotations):
    rows = {"A100": {"seconds": 1800, "memory": memory}}
    annotations = {"kilowait/flavors": json.dumps(rows), **annotations}
    return {"metadata": {"annotations": annotations | ({"kilowait/deadline": deadline} if deadline else {})}}


@pytest.mark.parametrize(
    ("found", "gpu_type", "state"),
    [
        (job(), "A100", "Ready"),
        (job("does not fit"), "A100", "Rejected"),
        (job(deadline="2026-11-30T12:31:00Z"), "A100", "Ready"),
        (job(deadline="2026-11-30T12:29:00Z"), "A100", "Rejected"),
        (job(deadline="2026-11-30T13:29:00+01:00"), "A100", "Rejected"),
        (job(deadline="2026-11-30T11:00:00Z"), "A100", "Rejected"),
        (job(deadline="tomorrow"), "A100", "Ready"),  # what nobody understands holds nobody up
        (job(deadline="2026-11-30T12:29:00"), "A100", "Ready"),
        (job("does not fit"), "H100", "Ready"),
        (job("does not fit"), "", "Ready"),
        ({}, "A100", "Ready"),
        (job(**{"kilowait/flavors": "[1]"}), "A100", "Ready"),
        (job(**{"kilowait/flavors": '{"A100": null}'}), "A100", "Ready"),
        (job(**{"kilowait/flavors": '{"A100": {"seconds": 1%s}}' % ("0" * 400)}), "A100", "Ready"),
        (job(**{"kilowait/flavors": "[" * 100_000}), "A100", "Ready"),
    ],
)
def test_what_does_not_fit_or_is_late_is_rejected_and_nothing_else(found, gpu_type, state):
    assert verdict(found, gpu_type, NOW_S)[0] == state


@pytest.fixture
def played(tmp_path):
    """(call, objects by path, patches): an API server that has what `objects` says."""
    objects, patches = {}, []
    certificate, key = write_certificate(tmp_path)
    (tmp_path / "token").write_text("word\n")
    (tmp_path / "ca.crt").write_bytes(certificate.read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self._say(objects.get(self.path), self.headers["Authorization"] == "Bearer word")

        def do_PATCH(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            patches.append((self.path, self.headers["Content-Type"], body))
            self._say(body, True)

        def _say(self, body, known):
            self.send_response(403 if not known else 200 if body is not None else 404)
            self.end_headers()
            self.wfile.write(json.dumps(body or {}).encode())

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield api_server("kilowait", tmp_path, f"https://localhost:{server.server_address[1]}"), objects, patches
    server.shutdown()
    server.server_close()


def waiting(name, check="fits", **more):
    one, _ = workload(name, 2, **more)
    one["status"]["admissionChecks"] = [{"name": check, "state": "Pending"}, {"name": "other", "state": "Pending"}]
    return one


def test_those_that_hold_quota_and_wait_for_this_check_are_told(played):
    call, objects, patches = played
    checks = [
        {"metadata": {"name": "fits"}, "spec": {"controllerName": CONTROLLER}},
        {"metadata": {"name": "other"}, "spec": {"controllerName": "somebody.else/check"}},
    ]
    objects[f"{API}/admissionchecks"] = {"items": checks}
    objects[f"{API}/resourceflavors"] = {"items": FLAVORS}
    work = [waiting("a", since=1), waiting("b", since=1), waiting("c"), waiting("d", "other", since=1)]
    objects[f"{API}/workloads"] = {"items": work}
    objects["/apis/batch/v1/namespaces/ml/jobs/a"] = job("does not fit")
    told = answer_checks(call, NOW_S)
    assert {key: said.partition(":")[0] for key, said in told.items()} == {"ml/job-a": "Rejected", "ml/job-b": "Ready"}
    (active, _, condition), (first, form, body), (second, _, _) = patches
    assert active == f"{API}/admissionchecks/fits/status?fieldManager=kilowait&force=true"
    assert condition["status"]["conditions"][0]["status"] == "True"
    assert (first, form) == (
        f"{API}/namespaces/ml/workloads/job-a/status?fieldManager=kilowait&force=true",
        "application/apply-patch+yaml",
    )
    (state,) = body["status"]["admissionChecks"]
    assert (state["name"], state["state"], state["lastTransitionTime"]) == ("fits", "Rejected", "2026-11-30T12:00:00Z")
    assert "/job-b/" in second


@pytest.mark.parametrize(
    "owners",
    [
        [],
        [{"apiVersion": "v1", "kind": "Pod", "name": "alone"}],
        [{"apiVersion": "v1", "kind": "Pod", "name": name} for name in ("first", "second")],  # a group of pods
        [{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "a"}],
        [{"apiVersion": "batch.volcano.sh/v1alpha1", "kind": "Job", "name": "a"}],
    ],
)
def test_a_workload_of_a_kind_that_is_never_predicted_is_let_through_unread(played, owners):
    call, objects, patches = played
    objects[f"{API}/admissionchecks"] = {
        "items": [{"metadata": {"name": "fits"}, "spec": {"controllerName": CONTROLLER}}]
    }
    one = waiting("a", since=1)
    one["metadata"]["ownerReferences"] = owners
    objects[f"{API}/workloads"] = {"items": [one]}
    asked = []

    def allowed(path, body):
        """What the role in integrations/kueue lets be read."""
        asked.append(path)
        if body is None and not path.startswith(API):
            raise ServiceError(f"{path}: the API server answered 403")
        return call(path, body)

    (said,) = answer_checks(allowed, NOW_S).values()
    assert said.startswith("Ready: not predicted")
    assert patches[-1][2]["status"]["admissionChecks"][0]["state"] == "Ready"


def test_a_workload_that_cannot_be_looked_at_keeps_no_other_from_its_answer(played):
    call, objects, patches = played
    objects[f"{API}/admissionchecks"] = {
        "items": [{"metadata": {"name": "fits"}, "spec": {"controllerName": CONTROLLER}}]
    }
    objects[f"{API}/workloads"] = {"items": [waiting("a", since=1), waiting("b", since=1)]}

    def refusing(path, body):
        if path.endswith("/jobs/a"):
            raise ServiceError(f"{path}: the API server answered 403")
        return call(path, body)

    with pytest.raises(ServiceError, match="/jobs/a: the API server answered 403"):
        answer_checks(refusing, NOW_S)
    assert [path.partition("/workloads/")[2].partition("/")[0] for path, _, _ in patches] == ["", "job-b"]


def test_without_a_check_of_its_own_nothing_is_looked_at_and_a_refusal_is_said(played, tmp_path):
    call, objects, patches = played
    objects[f"{API}/admissionchecks"] = {"items": []}
    assert answer_checks(call, NOW_S) == {}
    (tmp_path / "token").write_text("another")
    with pytest.raises(ServiceError, match="answered 403"):
        answer_checks(call, NOW_S)
    assert patches == []

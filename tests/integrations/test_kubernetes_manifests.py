"""The manifests of integrations/kubernetes: least privilege, failing open, and names that fit each other."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from kilowait.advise.kubernetes.admission_check import CONTROLLER
from kilowait.advise.kubernetes.workload_pods import PREDICTED
from kilowait.cli.main import _parse

FOLDER = Path(__file__).parents[2] / "integrations" / "kubernetes"


@pytest.fixture(scope="module")
def objects():
    """By kind; as kustomize builds them where it is at hand, else as they stand in the files."""
    if shutil.which("kubectl"):
        return {one["kind"]: one for one in kustomized("kubernetes")}
    listed = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["resources"]
    text = "\n---\n".join((FOLDER / name).read_text() for name in listed)
    return {one["kind"]: one for one in yaml.safe_load_all(text)}


def test_the_webhook_may_read_config_maps_and_nothing_else(objects):
    assert objects["ClusterRole"]["rules"] == [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}]
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["containers"][0]["securityContext"]["readOnlyRootFilesystem"]
    assert pod["serviceAccountName"] == objects["ServiceAccount"]["metadata"]["name"]


def test_it_fails_open_and_answers_before_it_is_given_up(objects):
    (webhook,) = objects["MutatingWebhookConfiguration"]["webhooks"]
    args = _parse(objects["Deployment"]["spec"]["template"]["spec"]["containers"][0]["args"])
    assert (webhook["failurePolicy"], webhook["sideEffects"]) == ("Ignore", "None")
    assert webhook["timeoutSeconds"] > args.budget_s
    assert {resource for rule in webhook["rules"] for resource in rule["resources"]} == {
        *("jobs", "rayjobs", "pytorchjobs", "jobsets"),
    }


def test_certificate_service_and_webhook_mean_the_same(objects):
    (webhook,) = objects["MutatingWebhookConfiguration"]["webhooks"]
    service, certificate = webhook["clientConfig"]["service"], objects["Certificate"]
    assert f"{service['name']}.{service['namespace']}.svc" in certificate["spec"]["dnsNames"]
    injected = objects["MutatingWebhookConfiguration"]["metadata"]["annotations"]["cert-manager.io/inject-ca-from"]
    assert injected == f"{service['namespace']}/{certificate['metadata']['name']}"
    assert objects["Service"]["metadata"]["name"] == service["name"]
    volumes = objects["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert certificate["spec"]["secretName"] in {one.get("secret", {}).get("secretName") for one in volumes}


def kustomized(name):
    command = ["kubectl", "kustomize", str(FOLDER.parent / name)]
    text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    return list(yaml.safe_load_all(text))


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine; install it to run this test")
def test_who_answers_kueue_s_checks_may_read_jobs_and_write_answers_and_the_check_names_it():
    found = kustomized("kueue")
    (check,) = [one for one in found if one["kind"] == "AdmissionCheck"]
    assert check["spec"]["controllerName"] == CONTROLLER
    (deployment,) = [one for one in found if one["kind"] == "Deployment"]
    assert _parse(deployment["spec"]["template"]["spec"]["containers"][0]["args"]).kueue_checks
    (role,) = [one for one in found if one["kind"] == "ClusterRole" and "checks" in one["metadata"]["name"]]
    writes = {name for rule in role["rules"] if rule["verbs"] == ["patch"] for name in rule["resources"]}
    assert writes == {"admissionchecks/status", "workloads/status"}
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"list", "get", "patch"}
    reads = {
        (group, name)
        for rule in role["rules"]
        if "get" in rule["verbs"]
        for group in rule["apiGroups"]
        for name in rule["resources"]
    }
    assert reads == {(group, f"{kind.lower()}s") for group, kind in PREDICTED}

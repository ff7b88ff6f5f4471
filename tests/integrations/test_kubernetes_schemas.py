"""What is given to Kubernetes, by its published schemas: manifests, the chart, a job as the webhook stores it, a claim.

Of objects of Kueue, cert-manager, Ray, Kubeflow and JobSet there are no schemas here.
"""

import shutil

import pytest

from kilowait.advise.kubernetes.advised_workload import Placing, advised_workload
from kilowait.advise.kubernetes.resource_claim import resource_claim
from kilowait.advise.kubernetes.workload_pods import pod_groups
from tests.advise.test_admission import A100, H100, job, pod
from tests.integrations.test_helm_chart import rendered
from tests.integrations.test_kubernetes_manifests import kustomized
from tests.support.advised import advised

schemas = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate: pip install 'kilowait[dev]'")
VERSION = "1.37"
ELSEWHERE = {"Issuer", "Certificate", "AdmissionCheck"}
FULL = {
    "kueue": {"checks": True, "maxExecTime": True},
    "gpuFile": "[gpus]",
    "programNamespaces": ["ml"],
    "nodeSelector": {"zone": "a"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}],
    "image": {"pullPolicy": "Always", "pullSecrets": [{"name": "registry"}]},
}


def check(objects):
    """How many objects had a schema; raises where one does not fit it, or has a field that is not in it."""
    known = [one for one in objects if one["kind"] not in ELSEWHERE]
    for one in known:
        schemas.validate(one, VERSION, strict=True)
    return len(known)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine; install it to run this test")
@pytest.mark.parametrize(("name", "known"), [("kubernetes", 7), ("kueue", 9)])
def test_the_manifests_fit(name, known):
    assert check(kustomized(name)) == known


@pytest.mark.skipif(shutil.which("helm") is None, reason="no helm on this machine; install it to run this test")
@pytest.mark.parametrize(("values", "known"), [({}, 6), (FULL, 9)])
def test_the_chart_fits(values, known):
    assert check(rendered(values).values()) == known


def test_a_job_as_the_webhook_stores_it_and_a_claim_fit():
    advice = advised({"H100": H100, "A100": A100})
    before = job(pod(restartPolicy="Never"))
    before["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] = "2"
    before["metadata"]["labels"] = {"kueue.x-k8s.io/queue-name": "users"}
    after = advised_workload(before, pod_groups(before), advice, Placing(gpu_types=("H100", "A100"), limit=True))
    assert after != before
    assert check([after, resource_claim(advice, ["H100", "A100"], "claim")]) == 2


def test_a_field_that_is_not_in_a_schema_is_found():
    wrong = job(pod(restartPolicy="Never", nodeSelectors={"a": "b"}))
    with pytest.raises(schemas.ValidationError):
        check([wrong])

"""The Helm chart, rendered by helm: what kustomize builds, and what its values change."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from kilowait.cli.main import _parse
from tests.integrations.test_kubernetes_manifests import kustomized

CHART = Path(__file__).parents[2] / "integrations" / "helm" / "kilowait"
pytestmark = pytest.mark.skipif(
    shutil.which("helm") is None, reason="no helm on this machine; install it (.ci/helm.py) to run this test"
)


def helm(values, namespace="kilowait"):
    command = ["helm", "template", "kilowait", str(CHART), "--namespace", namespace, "--values", "-"]
    return subprocess.run(command, input=yaml.safe_dump(values), capture_output=True, text=True, timeout=60)


def rendered(values, **more):
    """Its objects, by kind and name."""
    done = helm(values, **more)
    assert done.returncode == 0, done.stderr
    return named(yaml.safe_load_all(done.stdout))


def named(objects):
    return {(one["kind"], one["metadata"]["name"]): one for one in objects if one}


def bare(objects):
    """Without labels, which say who made them."""
    for one in objects.values():
        one["metadata"].pop("labels", None)
    return objects


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl on this machine; install it to run this test")
@pytest.mark.parametrize(("name", "values"), [("kubernetes", {}), ("kueue", {"kueue": {"checks": True}})])
def test_the_chart_has_what_kustomize_builds(name, values):
    built = bare(named(kustomized(name)))
    del built["Namespace", "kilowait"]  # helm --create-namespace
    assert bare(rendered(values)) == built


def test_values_reach_the_webhook_s_command_and_every_object_its_namespace():
    values = {
        "types": ["A100", "T4"],
        "prefer": "energy",
        "nodeLabel": "gpu",
        "nodeValues": {"A100": "big"},
        "budgetS": 5,
        "gitHosts": ["github.com"],
        "kueue": {"maxExecTime": True, "risk": 0.1, "checks": True},
        "programNamespaces": ["ml", "nlp"],
        "image": {"tag": "7"},
    }
    objects = rendered(values, namespace="of-gpus")
    pod = objects["Deployment", "kilowait-admit"]["spec"]["template"]["spec"]
    args = _parse(pod["containers"][0]["args"])
    assert (args.types, args.prefer, args.node_label, args.node_value) == (
        "A100,T4",
        "energy",
        "gpu",
        [("A100", "big")],
    )
    assert (args.git_host, args.budget_s, args.risk) == (["github.com"], 5.0, 0.1)
    assert args.max_exec_time
    assert args.kueue_checks
    assert pod["containers"][0]["image"] == "kilowait:7"
    assert {name for name in objects if "Binding" in name[0]} == {
        ("RoleBinding", "kilowait-read-programs"), ("ClusterRoleBinding", "kilowait-answer-checks"),
    }  # fmt: skip
    assert {one["metadata"].get("namespace") for one in objects.values()} == {"of-gpus", None, "nlp"}
    assert objects["Certificate", "kilowait-admit"]["spec"]["dnsNames"] == ["kilowait-admit.of-gpus.svc"]
    subjects = [subject for one in objects.values() for subject in one.get("subjects", ())]
    assert {subject["namespace"] for subject in subjects} == {"of-gpus"}


def test_options_that_the_chart_leaves_out_have_the_values_of_its_own():
    objects = rendered({})
    (container,) = objects["Deployment", "kilowait-admit"]["spec"]["template"]["spec"]["containers"]
    args, values = _parse(container["args"]), yaml.safe_load((CHART / "values.yaml").read_text())
    assert (args.prefer, args.budget_s) == (values["prefer"], values["budgetS"])


def test_a_file_of_gpu_types_and_a_certificate_of_ones_own():
    own = {"certManager": False, "caBundle": "QUJD"}
    objects = rendered({"gpuFile": "[gpus]", "certificate": own, "service": {"url": ""}})
    assert not {kind for kind, _ in objects} & {"Certificate", "Issuer"}
    (webhook,) = objects["MutatingWebhookConfiguration", "kilowait"]["webhooks"]
    assert webhook["clientConfig"]["caBundle"] == "QUJD"
    assert objects["ConfigMap", "kilowait-gpus"]["data"] == {"gpus.toml": "[gpus]"}
    container = objects["Deployment", "kilowait-admit"]["spec"]["template"]["spec"]["containers"][0]
    assert "--gpu-file=/gpus/gpus.toml" in container["args"]
    assert "env" not in container  # without a service it predicts itself


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"webhook": {"timeoutSeconds": 8}}, "webhook.timeoutSeconds must be more than budgetS"),
        ({"certificate": {"certManager": False}}, "certificate.caBundle"),
        ({"prefer": "speed"}, "/prefer"),
        ({"type": ["A100"]}, "additional properties 'type' not allowed"),
        ({"types": None}, "types"),
    ],
)
def test_values_that_do_not_fit_are_refused(values, said):
    done = helm(values)
    assert done.returncode != 0
    assert said in done.stderr


def test_a_chart_that_depends_on_this_one_may_have_values_for_all_its_charts():
    assert rendered({"global": {"imageRegistry": "registry.example"}}) == rendered({})

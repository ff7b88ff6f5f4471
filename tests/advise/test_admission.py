"""The admission webhook: AdmissionReviews over real HTTPS, as an API server posts them. No API server was at hand."""

import base64
import copy
import json
import socket
import ssl
import threading
import time
from dataclasses import replace
from functools import reduce
from http.client import HTTPSConnection

import pytest
import requests

from kilowait.advise.advice import TOO_LARGE
from kilowait.advise.kubernetes.admission import Admission
from kilowait.advise.kubernetes.admission_server import MOST_BYTES, AdmissionServer
from kilowait.advise.kubernetes.advised_workload import Placing
from kilowait.advise.kubernetes.config_maps import read_config_map
from kilowait.core.errors import ServiceError
from tests.support.advised import advised, on_type
from tests.support.own_certificate import write_certificate

MAPS = {"code": {"train.py": "import model\nprint('trained')\n", "model.py": "WIDTH = 3\n"}}
H100 = on_type(400, 200, 800, energy_kwh=0.2, memory_bytes=9e9, fitting="fits", provenance="modelled")
A100 = on_type(1000, 500, 2000, energy_kwh=0.1, memory_bytes=9e9, fitting="fits", provenance="modelled")
L4 = on_type(100, 50, 200, memory_bytes=9e10, fitting=TOO_LARGE)


def pod(command=("python", "/src/train.py", "--epochs", "3"), gpus=2, **spec):
    limits = {"nvidia.com/gpu": gpus} if gpus else {}
    container = {"name": "main", "image": "i", "command": list(command), "resources": {"limits": limits}}
    container |= {"volumeMounts": [{"name": "v", "mountPath": "/src"}], "env": [{"name": "SEED", "value": "7 8"}]}
    volumes = [{"name": "v", "configMap": {"name": "code"}}]
    return {"metadata": {}, "spec": {"containers": [container], "volumes": volumes, **spec}}


def job(template=None, **spec):
    kind = {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j"}}
    return {**kind, "spec": {"template": template or pod(), **spec}}


def ray_job():
    workers = [{"replicas": 3, "template": pod(("ray", "start"), gpus=4)}]
    cluster = {"headGroupSpec": {"template": pod(("ray", "start"), gpus=0)}, "workerGroupSpecs": workers}
    spec = {"entrypoint": "python /src/train.py --epochs 3", "rayClusterSpec": cluster}
    return {"apiVersion": "ray.io/v1", "kind": "RayJob", "metadata": {"name": "r"}, "spec": spec}


def pytorch_job():
    specs = {"Worker": {"replicas": 3, "template": pod()}, "Master": {"replicas": 1, "template": pod()}}
    kind = {"apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob"}
    return {**kind, "metadata": {"name": "p"}, "spec": {"pytorchReplicaSpecs": specs}}


def job_set():
    inner = {"spec": {"template": pod(), "parallelism": 2, "completionMode": "Indexed"}}
    spec = {"replicatedJobs": [{"name": "workers", "replicas": 2, "template": inner}]}
    return {"apiVersion": "jobset.x-k8s.io/v1alpha2", "kind": "JobSet", "metadata": {"name": "s"}, "spec": spec}


class World:
    """A webhook at `url`; `asked` holds the questions, `answer` what is said to them."""

    def __init__(self, folder):
        self.asked, self.answer = [], lambda _: advised({"H100": H100, "A100": A100, "L4": L4}, assumptions=("a",))
        self.files, self.placing = write_certificate(folder), Placing(gpu_types=("H100", "A100", "L4"), limit=True)
        admission = Admission(ask=self._ask, read=lambda _, name: MAPS[name], placing=self.placing)
        self.server = AdmissionServer(("127.0.0.1", 0), admission, self.files, 1.0)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"https://localhost:{self.server.server_address[1]}/"

    def _ask(self, question):
        self.asked.append(question)
        return self.answer(question)

    def post(self, body, **more):
        return requests.post(self.url, data=json.dumps(body), verify=str(self.files[0]), timeout=30, **more)

    def response(self, workload, operation="CREATE"):
        request = {"uid": "u-1", "operation": operation, "namespace": "ml", "object": workload}
        review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}
        answer = self.post(review)
        assert answer.status_code == 200
        said = answer.json()
        assert (said["kind"], said["response"]["uid"], said["response"]["allowed"]) == ("AdmissionReview", "u-1", True)
        return said["response"]

    def admitted(self, workload):
        """The object as the API server would store it, and the warnings."""
        response = self.response(workload)
        patch = json.loads(base64.b64decode(response.get("patch", "W10=")))
        return patched(workload, patch), response.get("warnings", [])


def patched(value, operations):
    """RFC 6902, `add` and `replace` alone; written for this test."""
    value = copy.deepcopy(value)
    for operation in operations:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        parent = reduce(lambda found, key: found[int(key) if isinstance(found, list) else key], way, value)
        if isinstance(parent, list):
            assert (operation["op"], last) == ("add", "-")
            parent.append(operation["value"])
        else:
            assert (operation["op"] == "replace") == (last in parent)
            parent[last] = operation["value"]
    return value


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    yield world
    world.server.shutdown()
    world.server.server_close()
    world.server.workers.shutdown()


@pytest.mark.parametrize(
    ("workload", "gpus", "templates"),
    [
        (job(), 2, [("template",)]),
        (job(parallelism=4, completionMode="Indexed"), 8, [("template",)]),
        (job(parallelism=4), 2, [("template",)]),
        (ray_job(), 12, [("rayClusterSpec", "workerGroupSpecs", 0, "template")]),
        (pytorch_job(), 8, [("pytorchReplicaSpecs", role, "template") for role in ("Master", "Worker")]),
        (job_set(), 8, [("replicatedJobs", 0, "template", "spec", "template")]),
    ],
)
def test_each_kind_of_workload_gets_its_predictions_and_prefers_the_types_that_fit(world, workload, gpus, templates):
    after, warnings = world.admitted(workload)
    assert warnings == []
    (question,) = world.asked
    assert (question.gpus, question.gpu_types) == (gpus, ("H100", "A100", "L4"))
    source = question.reading.source
    assert {path: data.decode() for path, data in source.files.items()} == MAPS["code"]
    assert (source.entrypoint, source.arguments, source.folder) == ("train.py", ("--epochs", "3"), ".")
    assert workload["kind"] == "RayJob" or source.environment["SEED"] == "7 8"
    flavors = json.loads(after["metadata"]["annotations"]["kilowait/flavors"])
    assert flavors["H100"] | {"seconds_low": 0, "seconds_high": 0} == {
        "seconds": 400,
        "kwh": 0.2,
        "memory_bytes": 9e9,
        "memory": "fits",
        "seconds_low": 0,
        "seconds_high": 0,
    }
    assert after["metadata"]["annotations"]["kilowait/basis"] == "1 GPU(s); modelled; ; a"
    for path in templates:
        template = reduce(lambda found, key: found[key], path, after["spec"])
        terms = template["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        assert [term["weight"] for term in terms] == [100, 40]  # 400 s and 1000 s; the L4 is too small
        expressions = [term["preference"]["matchExpressions"][0] for term in terms]
        assert "NVIDIA-H100-80GB-HBM3" in expressions[0]["values"]
        assert {one["key"] for one in expressions} == {"nvidia.com/gpu.product"}


def test_what_its_author_set_stays_as_it_is(world):
    chosen = job(pod(nodeSelector={"nvidia.com/gpu.product": "NVIDIA-L4"}))
    after, _ = world.admitted(chosen)
    assert after["spec"] == chosen["spec"]
    own = {"weight": 5, "preference": {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}}
    key = "preferredDuringSchedulingIgnoredDuringExecution"
    mine = job(pod(affinity={"nodeAffinity": {key: [own]}, "podAffinity": {"x": 1}}))
    mine["metadata"]["annotations"] = {"a/b": "c"}
    after, _ = world.admitted(mine)
    affinity = after["spec"]["template"]["spec"]["affinity"]
    assert affinity["nodeAffinity"][key][0] == own
    assert len(affinity["nodeAffinity"][key]) == 3
    assert affinity["podAffinity"] == {"x": 1}
    assert after["metadata"]["annotations"]["a/b"] == "c"


@pytest.mark.parametrize(
    ("labels", "limit"),
    [
        ({"kueue.x-k8s.io/queue-name": "q"}, "2340"),  # the slower type's 95% end of 2,000 s and 5 minutes, in minutes
        ({"kueue.x-k8s.io/queue-name": "q", "kueue.x-k8s.io/max-exec-time-seconds": "9"}, "9"),
        ({}, None),
    ],
)
def test_kueue_s_limit_is_set_on_its_own_jobs_where_none_is(world, labels, limit):
    workload = job()
    workload["metadata"]["labels"] = labels
    after, _ = world.admitted(workload)
    assert after["metadata"]["labels"].get("kueue.x-k8s.io/max-exec-time-seconds") == limit


def without(workload, *path):
    *way, last = path
    del reduce(lambda found, key: found[key], way, workload)[last]
    return workload


@pytest.mark.parametrize(
    "workload",
    [
        job(pod(gpus=0)),
        {**job(), "kind": "CronJob"},
        {**job(), "metadata": {"name": "child", "ownerReferences": [{"kind": "JobSet"}]}},
        {**job(), "metadata": {"annotations": {"kilowait/advice": "seen"}}},
        {"kind": "Job"},
        {"kind": "Job", "metadata": None, "spec": {"template": {"spec": {"containers": [None, 3]}}}},
        {"kind": "JobSet", "spec": {"replicatedJobs": [{"template": []}, 7]}},
        {"kind": "PyTorchJob", "spec": {"pytorchReplicaSpecs": []}},
    ],
)
def test_what_is_none_of_its_business_is_admitted_without_a_word(world, workload):
    assert world.response(workload) == {"uid": "u-1", "allowed": True}
    assert world.asked == []


def failing(error):
    def answer(_):
        raise error

    return answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (failing(ServiceError("no service answers")), "kilowait: no service answers"),
        (failing(ZeroDivisionError("a fault")), "a fault inside; admitted as it is"),
        (lambda _: time.sleep(1.5), "not predicted within 1 s; admitted as it is"),
        (lambda _: replace(advised(), by_type={}, dry_run="it imports nothing"), "not predicted: it imports nothing"),
    ],
)
def test_it_fails_open_and_says_why(world, answer, said):
    world.answer = answer
    response = world.response(job())
    assert "patch" not in response
    assert said in response["warnings"][0]
    world.answer = lambda _: advised({"H100": H100})
    assert "patch" in world.response(job())


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (pod(volumes=[]), "no source: mount a ConfigMap"),
        (pod(("python", "/etc/passwd.py")), "passwd.py"),
        (pod(("sh", "-c", f"cd {__file__.rpartition('/')[0]} && python test_admission.py")), "not in its source"),
        (pod(("python", "../../../../../../../usr/lib/x.py")), "x.py"),
        (pod(("sleep", "9")), "starts no program"),
    ],
)
def test_no_file_of_the_webhook_s_own_machine_is_taken_for_the_program(world, template, said):
    assert said in world.response(job(template))["warnings"][0]
    assert world.asked == []


def test_an_entrypoint_that_no_shell_would_read_is_named(world):
    workload = ray_job()
    workload["spec"]["entrypoint"] = "python 'train.py"
    assert world.response(workload)["warnings"] == ["kilowait: entrypoint python 'train.py: No closing quotation"]


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (("python", "/src/train.py", "--data", "/data/x"), ("--data", "/data/x")),
        (("sh", "-c", "set -e; torchrun --nproc-per-node 2 /src/train.py --lr 1"), ("--lr", "1")),
        (("bash", "-lc", "cd /src && python train.py"), ()),
    ],
)
def test_the_command_is_followed_to_the_program(world, command, arguments):
    world.admitted(job(pod(command)))
    source = world.asked[0].reading.source
    assert (source.entrypoint, source.arguments) == ("train.py", arguments)


def test_a_program_may_stand_in_an_annotation(world):
    workload = job(pod(("python", "train.py", "-x"), volumes=[]))
    workload["metadata"]["annotations"] = {"kilowait/source": "print('mine')\n"}
    world.admitted(workload)
    source = world.asked[0].reading.source
    assert (dict(source.files), source.arguments) == ({"train.py": b"print('mine')\n"}, ("-x",))


def test_what_is_no_review_is_refused_and_a_renewed_certificate_is_used(world, tmp_path):
    assert world.post({"kind": "Pod"}).status_code == 400
    assert world.post([]).status_code == 400
    trusting = ssl.create_default_context(cafile=str(world.files[0]))
    line = HTTPSConnection("localhost", world.server.server_address[1], context=trusting)
    line.request("POST", "/", headers={"Content-Length": str(MOST_BYTES + 1)})
    assert line.getresponse().status == 413
    line.close()
    assert requests.get(f"{world.url}healthz", verify=str(world.files[0]), timeout=30).json() == {"status": "ok"}
    with socket.create_connection(world.server.server_address):  # says nothing, and holds up nobody
        assert world.response(job())["allowed"]
    write_certificate(tmp_path)
    assert world.response(job())["allowed"]


def test_config_maps_are_read_by_the_service_account(tmp_path, world):
    """The API server is played by the webhook's own listener, which knows no such path."""
    (tmp_path / "token").write_text("t\n")
    (tmp_path / "ca.crt").write_bytes(world.files[0].read_bytes())
    with pytest.raises(ServiceError, match=r"ConfigMap ml/code: the API server answered 404; is it there"):
        read_config_map("ml", "code", tmp_path, world.url.rstrip("/"))
    with pytest.raises(ServiceError, match="runs in no cluster"):
        read_config_map("ml", "code", tmp_path)

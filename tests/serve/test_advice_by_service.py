"""What `kilowait sbatch` and `kilowait check` ask the service, of the real desk; its predictor says 10 s."""

import socket
import time

import pytest

from kilowait.advise import asking_either, asking_service
from kilowait.advise.asking import AdviceQuestion
from kilowait.advise.asking_either import advice_of
from kilowait.advise.asking_service import advice_by_service
from kilowait.core.errors import InputError
from kilowait.program.read import read_file
from tests.support.advised import advised
from tests.support.fuzzed_service import fuzzed_service


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with fuzzed_service(tmp_path_factory.mktemp("service")) as (address, tokens):
        yield {"KILOWAIT_URL": address, "KILOWAIT_TOKEN": tokens["ada"]}


@pytest.fixture
def reading(tmp_path, monkeypatch):
    """A batch script that starts a program of two files on four GPUs."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text("import model\nmodel.train()\n")
    (tmp_path / "model.py").write_text("def train():\n    pass\n")
    (tmp_path / "job.sh").write_text("#!/bin/sh\nexport BATCH=8\ntorchrun --nproc_per_node 4 train.py --lr 1\n")
    return read_file("job.sh")


def test_the_service_is_asked_for_the_same_program_on_the_types_of_slurm(service, reading):
    advice = advice_of(AdviceQuestion(reading=reading, gpu_types=("H100", "A6000")), service)
    assert advice.content_hash == reading.source.content_hash  # files, arguments and variables have arrived
    assert {name: on.prediction.runtime_s for name, on in advice.by_type.items()} == {"H100": 10.0, "A6000": 10.0}
    assert advice.gpus == 4
    assert advice.by_type["H100"].provenance == f"modelled by the service at {service['KILOWAIT_URL']}"


def test_without_an_answer_of_the_service_it_is_predicted_here(service, reading, monkeypatch):
    monkeypatch.setattr(asking_either, "advice_here", lambda question: advised())
    question = AdviceQuestion(reading=reading)
    assert advice_of(question, {}) == advised()
    for environment in ({**service, "KILOWAIT_TOKEN": "kw_wrong"}, {"KILOWAIT_URL": "http://127.0.0.1:9"}):
        advice = advice_of(question, environment)
        assert advice.by_type == advised().by_type
        assert advice.assumptions[-1].startswith("predicted here, not by the service: ")


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"files": {"../x.py": ""}}, "leads out of its folder"),
        ({"files": {"main.py/x.py": ""}}, "a file and the folder of"),
        ({"gpu_types": ["Abacus"]}, "unknown GPU type 'Abacus'"),
    ],
)
def test_what_is_no_program_or_type_is_refused(service, reading, more, complaint):
    from kilowait.client.client import Client

    client, asked = Client(service["KILOWAIT_URL"], service["KILOWAIT_TOKEN"]), {"source": "print(1)", **more}
    with pytest.raises(InputError, match=complaint):
        client.ask("POST", "/v1/predict", json=asked)


def test_another_folder_or_python_is_not_the_services(service, reading):
    import dataclasses

    from kilowait.predict.interpreter import Interpreter

    elsewhere = dataclasses.replace(reading, source=reading.source.within({}, "runs"))
    with pytest.raises(InputError, match="starts in runs"):
        advice_by_service(AdviceQuestion(reading=elsewhere), service["KILOWAIT_URL"], None)
    other = Interpreter(command=("/opt/python",), name="/opt/python")
    with pytest.raises(InputError, match="runs under /opt/python"):
        advice_by_service(AdviceQuestion(reading=reading, interpreter=other), service["KILOWAIT_URL"], None)


def test_a_service_that_does_not_answer_holds_nobody_up(reading, monkeypatch):
    monkeypatch.setattr(asking_either, "advice_here", lambda question: advised())
    monkeypatch.setattr(asking_service, "ANSWER_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the connection, and says nothing
        environment = {"KILOWAIT_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        began_s = time.monotonic()
        advice = advice_of(AdviceQuestion(reading=reading), environment)
        assert time.monotonic() - began_s < 5
    assert advice.by_type == advised().by_type
    assert "predicted here, not by the service" in advice.assumptions[-1]

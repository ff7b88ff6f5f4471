"""Jobs and predictions in a software environment of the operator's, on a real Ray cluster, in rooms of their own."""

import base64
import io
import zipfile

import pytest

from kilowait.isolation.modes import room_refusal
from kilowait.predict.dryrun.sandbox import sandbox_available

pytestmark = pytest.mark.skipif(room_refusal() is not None, reason=str(room_refusal()))

SAY = """\
import os, sys
import helper.part
import of_the_environment
print(sys.prefix, os.getcwd(), of_the_environment.NAME, os.environ["BATCH"])
"""
IN_DRY_RUN = """\
import os, sys, torch
import of_the_environment
raise ValueError(f"{sys.prefix} {of_the_environment.NAME} {os.environ['BATCH']}")
"""


@pytest.fixture(scope="module")
def world(common_world):
    return common_world


@pytest.fixture(scope="module")
def prefix(world):
    """The environment with a package that only it has."""
    return world.prefix


def test_a_job_runs_under_the_interpreter_of_its_software(world, prefix):
    job = {"software": "vision", "environment": {"BATCH": "8"}, **archive(SAY)}
    answer = world.call("POST", "/v1/jobs", json=job)
    assert answer.status_code == 201, answer.text
    job_id = answer.json()["job_id"]
    state = world.over(job_id)["state"]
    text = world.get(f"/v1/jobs/{job_id}/logs")["text"]
    assert (state, text) == ("finished", f"{prefix} /job vision 8\n")
    without = world.submit("import of_the_environment\n")
    assert world.over(without)["state"] == "failed"


@pytest.mark.skipif(sandbox_available() is not None, reason=str(sandbox_available()))
def test_its_dry_run_does_too(world, prefix):
    asked = {"source": IN_DRY_RUN, "software": "vision", "environment": {"BATCH": "8"}}
    found = world.call("POST", "/v1/predict", json=asked).json()
    assert f"ValueError: {prefix} vision 8" in found["dry_run"]
    without = world.call("POST", "/v1/predict", json={**asked, "software": None}).json()
    assert "No module named 'of_the_environment'" in without["dry_run"]
    body = world.call("POST", "/v1/predict", json={**asked, "software": str(prefix / "bin/python")}).json()
    assert (body["status"], body["field"], body["remedy"]) == (422, "software", "choose one of vision")


def archive(text):
    """A program whose entrypoint lies in a folder, and that imports from the root of its files."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, content in {"src/train.py": text, "helper/__init__.py": "", "helper/part.py": "N = 1\n"}.items():
            file.writestr(name, content)
    return {"archive": base64.b64encode(data.getvalue()).decode(), "entrypoint": "src/train.py"}

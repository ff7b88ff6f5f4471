"""Jobs with packages of their own, built from an index of the operator's, on a real service."""

import pytest

from kilowait.cli.main import main
from kilowait.predict.dryrun.sandbox import sandbox_available

REQUIRED = {"requirements.txt": "asked_for==1.0\n"}
SAY = "import sys, asked_for\nprint(asked_for.NAME, sys.prefix)\n"
IN_DRY_RUN = "import torch, asked_for\nraise ValueError(asked_for.NAME + ' was there')\n"


@pytest.fixture(scope="module")
def world(common_world):
    return common_world


def test_two_jobs_share_one_environment_and_its_packages_are_in_the_next_dry_run(world, tmp_path, monkeypatch, capsys):
    first = world.call("POST", "/v1/jobs", json={"source": SAY, "requirements": REQUIRED}).json()
    assert any("is built when it starts" in warning for warning in first["warnings"])
    said = [world.over(first["job_id"]), world.get(f"/v1/jobs/{first['job_id']}/logs")["text"].split()]
    assert (said[0]["state"], said[1][0]) == ("finished", "asked_for"), said
    script, requirements = tmp_path / "train.py", tmp_path / "needs.txt"
    script.write_text(SAY)
    requirements.write_text("# mine\nasked_for == 1.0\n")
    monkeypatch.setenv("KILOWAIT_URL", world.address)
    monkeypatch.setenv("KILOWAIT_TOKEN", world.tokens["ada"])
    assert main(["submit", "--follow", str(script), "--requirements", str(requirements)]) == 0
    assert capsys.readouterr().out.split() == said[1]
    if sandbox_available() is None:
        answer = world.call("POST", "/v1/jobs", json={"source": IN_DRY_RUN, "requirements": REQUIRED, "force": True})
        assert any("had the packages of its environment" in warning for warning in answer.json()["warnings"])
        dry_run = world.over(answer.json()["job_id"])["dry_run"]
        assert "asked_for was there" in dry_run
        assert "had the packages of its environment" in dry_run


def test_what_cannot_be_built_fails_with_the_last_lines_of_the_build(world):
    job_id = world.submit(SAY, requirements={"requirements.txt": "asked_for==9\n"})
    over = world.over(job_id)
    assert (over["state"], len(over["attempts"])) == ("failed", 1)
    assert "its environment cannot be built" in over["reason"]
    assert "asked_for==9" in over["reason"].replace("asked-for", "asked_for")


def test_an_image_that_is_not_allowed_is_refused_with_those_that_are(world):
    answer = world.call("POST", "/v1/jobs", json={"source": SAY, "image": "other:1"})
    said = answer.json()
    assert (answer.status_code, said["field"], said["remedy"]) == (422, "image", "choose one of own:*")
    asked = world.call(
        "POST", "/v1/what-if", json={"source": SAY, "requirements": {"requirements.txt": "-r /etc/passwd"}}
    )
    assert (asked.json()["field"], "is an option" in asked.json()["detail"]) == ("requirements", True)

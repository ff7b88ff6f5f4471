"""Software environments of the operator's, chosen by name."""

import sys
from pathlib import Path

import pytest

from kilowait.core.errors import InputError
from kilowait.isolation.modes import IsolationSettings, Mount
from kilowait.isolation.python_folders import folders_of
from kilowait.program.job_source import JobSource
from serve.desk.predictor_replica import PredictionQuestion
from serve.runner.confine import JobFiles
from serve.software import access_of, checked_software, python_of, software_of
from serve.wire.problems import Refusal

SOFTWARE = {"vision": "/opt/envs/vision/bin/python", "speech": "/opt/envs/speech/bin/python"}


def test_a_name_is_an_interpreter_and_none_is_the_services_own() -> None:
    assert python_of(SOFTWARE, "vision") == "/opt/envs/vision/bin/python"
    assert python_of(SOFTWARE, None) == python_of({}, "") == ""


@pytest.mark.parametrize(("software", "words"), [(SOFTWARE, "speech, vision"), ({}, "the operator has named no")])
def test_an_unknown_name_is_refused_with_those_there_are(software, words) -> None:
    with pytest.raises(Refusal) as refusal:
        python_of(software, "/usr/bin/python3")
    assert (refusal.value.status, refusal.value.field) == (422, "software")
    assert words in refusal.value.remedy


@pytest.mark.parametrize("python", ["/no/such/python", "python3", "/etc/passwd/x"])
def test_an_operator_is_told_of_an_interpreter_that_is_not_there(python: str) -> None:
    with pytest.raises(InputError, match="software vision"):
        checked_software({"vision": python})
    assert checked_software({"own": sys.executable}) == {"own": sys.executable}


def test_an_operator_names_one_with_its_interpreter() -> None:
    assert software_of("vision=/opt/a=b/bin/python") == ("vision", "/opt/a=b/bin/python")
    for text in ("vision", "=python", "vision="):
        with pytest.raises(InputError, match="NAME=PYTHON"):
            software_of(text)


def test_a_job_is_started_by_its_interpreter(tmp_path: Path) -> None:
    place = JobFiles(scratch=tmp_path, temporary=tmp_path, home="/job", temporary_name="/tmp")
    assert place.command(("a.py", "1"), {}, "/opt/x/bin/python")[0] == ("/opt/x/bin/python", "a.py", "1")
    assert place.command(("a.py",), {})[0] == (sys.executable, "a.py")


def test_a_job_sees_the_folders_of_its_interpreter(tmp_path: Path) -> None:
    for name in ("base/bin", "environment/bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "base/bin/python3").touch()
    (tmp_path / "environment/bin/python").symlink_to(tmp_path / "base/bin/python3")
    found = folders_of(str(tmp_path / "environment/bin/python"))
    assert found == (str(tmp_path / "environment"), str(tmp_path / "base"))
    assert folders_of("") == ()


def test_a_dry_run_reads_the_owners_mounts_and_is_remembered_for_those_who_may() -> None:
    isolation = IsolationSettings(mounts=(Mount(path="/data/ada", owners=("ada",)),), hidden=("/srv/kilowait",))
    ada, bob = access_of(isolation, "ada"), access_of(isolation, "bob")
    assert (ada.data, bob.data, ada.hidden) == (("/data/ada",), (), ("/srv/kilowait",))
    source = JobSource(files={"a.py": b"x = 1"}, entrypoint="a.py")
    keys = {PredictionQuestion(source=source, access=access).key for access in (ada, bob)}
    assert len(keys) == 2

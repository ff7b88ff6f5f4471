"""Which Python a job gets: the operator's, of its own requirements, or of an image; and what a dry run sees."""

import asyncio
from types import SimpleNamespace

import pytest

from kilowait.core.errors import InputError
from kilowait.core.submission import Program
from kilowait.isolation.cgroup import GroupLimits
from kilowait.isolation.container import ContainerRun
from kilowait.isolation.modes import IsolationSettings
from serve.environments import chosen_python
from serve.environments.built_environments import READY, BuiltEnvironments, EnvironmentSettings
from serve.environments.chosen_python import access_in, notes_of, with_python
from serve.scheduler.settings import SchedulerSettings
from serve.wire.schemas import SubmissionBody

IMAGES = IsolationSettings(images=("docker.io/pytorch/*", "own:1"))


def desk(isolation=IMAGES, **environments):
    settings = SchedulerSettings(
        url="", policy="simple", isolation=isolation, environments=EnvironmentSettings(**environments)
    )
    return SimpleNamespace(settings=settings, software={"vision": "/opt/vision/bin/python"})


def chosen(desk, files=None, **asked):
    program = Program(files={"a.py": "", **(files or {})}, entrypoint="a.py")
    return asyncio.run(with_python(desk, SubmissionBody(source="", **asked), program))


def test_an_image_that_the_operator_allows_is_the_jobs():
    program = chosen(desk(), image="docker.io/pytorch/pytorch:2.6")
    assert (program.image, program.python) == ("docker.io/pytorch/pytorch:2.6", "image:docker.io/pytorch/pytorch:2.6")


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"image": "own:2"}, r"choose one of docker.io/pytorch/\*, own:1"),
        ({"image": "docker.io/pytorch/../own:2"}, r"'\.\.' in its path leads out of what the operator allows"),
        ({"image": "own:1", "software": "vision"}, "its own packages"),
        ({"image": "own:1", "requirements": {"requirements.txt": "one"}}, "its own packages"),
        ({"requirements": {"requirements.txt": "one"}}, "no environments are built here"),
    ],
)
def test_what_the_operator_does_not_allow_is_refused(asked, words):
    with pytest.raises(InputError, match=words):
        chosen(desk(), **asked)


def test_in_containers_packages_are_the_images(tmp_path):
    one = desk(IsolationSettings(mode="container", image="own:1"), folder=str(tmp_path))
    with pytest.raises(InputError, match="packages of their image"):
        chosen(one, requirements={"requirements.txt": "one"})


def test_requirements_among_the_files_count_where_the_operator_wants_that(tmp_path):
    files = {"requirements.txt": "one>=1\n"}
    assert chosen(desk(folder=str(tmp_path)), files).requirements == ()
    always = desk(folder=str(tmp_path), always=True)
    assert chosen(always, files).requirements == ("one>=1",)
    assert chosen(always, files).python == chosen(always, requirements=files).python
    assert chosen(always, files, software="vision").python == "/opt/vision/bin/python"
    assert chosen(always, {"pyproject.toml": "[project]\nname = 'tool'\n"}).requirements == ()  # which many have


def test_a_dry_run_reads_the_packages_of_an_environment_that_stands_and_never_starts_its_python(tmp_path):
    one = desk(folder=str(tmp_path))
    program = chosen(one, requirements={"requirements.txt": "one"})
    place = tmp_path / program.python.split("/")[-3]
    packages = place / "lib/python3.11/site-packages"
    packages.mkdir(parents=True)
    asked = (one.settings, one.settings.isolation, "ada", program.python)
    assert access_in(*asked).data == ()
    assert "until it stands, dry runs have the service's own packages" in notes_of(one, program)[0]
    (place / READY).touch()
    access = access_in(*asked)
    assert (access.interpreter, access.data) == (None, (str(packages),))
    assert dict(access.environment) == {"PYTHONPATH": str(packages)}
    assert "PyTorch" in notes_of(one, program)[0]
    assert BuiltEnvironments(one.settings.environments).holds(program.python)


PODMAN = "#!/bin/sh\n[ \"$1 $2 $3\" = 'image exists own:1' ]\n"


def test_a_dry_run_says_whether_it_looked_inside_an_image(tmp_path, monkeypatch):
    one = desk(IsolationSettings(images=("*",)))
    here, elsewhere = chosen(one, image="own:1"), chosen(one, image="other:1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "did not look inside own:1: neither podman nor apptainer" in notes_of(one, here)[0]
    engine = tmp_path / "podman"
    engine.write_text(PODMAN)
    engine.chmod(0o755)
    assert notes_of(one, here) == ["its dry run was in own:1, without network"]
    assert "did not look inside other:1: it is not where the service runs" in notes_of(one, elsewhere)[0]
    command = access_in(one.settings, IMAGES, "ada", here.python).interpreter.command
    assert command[-2:] == ("own:1", "python3")
    assert "--network=none" in command
    assert access_in(one.settings, IMAGES, "ada", elsewhere.python).interpreter is None


def test_podman_is_asked_once_about_the_image_of_a_submission_and_again_later(tmp_path, monkeypatch):
    one, clock = desk(IsolationSettings(images=("*",))), [1000.0]
    program = chosen(one, image="own:1")
    engine = tmp_path / "podman"
    engine.write_text(f"#!/bin/sh\necho >> {tmp_path}/asked\n[ -e {tmp_path}/there ]\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(chosen_python.time, "monotonic", lambda: clock[0])
    assert access_in(one.settings, IMAGES, "ada", program.python).interpreter is None
    assert "did not look inside" in notes_of(one, program)[0]
    assert (tmp_path / "asked").read_text() == "\n"
    (tmp_path / "there").touch()
    clock[0] += 60.0
    assert notes_of(one, program) == ["its dry run was in own:1, without network"]


@pytest.mark.parametrize(
    ("image", "means"),
    [
        ("/images/ours.sif", "/images/ours.sif"),
        ("oras://here/ours:1", "oras://here/ours:1"),
        ("docker.io/pytorch/ours.sif", "docker://docker.io/pytorch/ours.sif"),  # no file in the job's own folder
    ],
)
def test_apptainer_takes_a_file_by_its_whole_path_alone(image, means):
    one = desk(IsolationSettings(images=("/images/*", "oras://here/*", "docker.io/pytorch/*")))
    limits = GroupLimits(memory_bytes=1 << 30, tasks=10)
    run = ContainerRun(
        engine="/bin/apptainer", image=chosen(one, image=image).image, name="a", volumes=(), limits=limits
    )
    assert means in run.words(("m.py",))

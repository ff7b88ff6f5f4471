"""Every field has a bound, told in the refusal, at the service's door and, where it is simple, in the client."""

import pytest
from pydantic import ValidationError

from kilowait.client.client import job_of
from kilowait.core.errors import InputError, SourceError
from kilowait.core.submission import Program, check_environment, checked
from serve.desk.programs import program_of, source_of
from serve.wire.batch_schemas import Batch
from serve.wire.schemas import SubmissionBody
from serve.wire.token_schemas import TokenAsked
from tests.support.live_world import request

MEGABYTES = "x" * 7_900_000


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"environment": {"A": MEGABYTES}}, "environment", "has 7,900,000 bytes, the limit is 32,768"),
        ({"environment": {"A": "é" * 20_000}}, "environment", "has 40,000 bytes, the limit is 32,768"),
        ({"environment": {f"A{n}": "x" * 30_000 for n in range(5)}}, "environment", "the limit is 131,072"),
        ({"environment": {f"A{n}": "" for n in range(65)}}, "environment", "at most 64 items"),
        ({"environment": {MEGABYTES: ""}}, "environment", "1 to 200 characters"),
        ({"environment": {"A=B": ""}}, "environment", "no '='"),
        ({"arguments": [MEGABYTES]}, "arguments", "at most 4096 characters"),
        ({"arguments": ["x"] * 65}, "arguments", "at most 64 items"),
        ({"labels": {"a": MEGABYTES}}, "labels", "at most 200 characters"),
        ({"labels": {MEGABYTES: "a"}}, "labels", "at most 100 characters"),
        ({"labels": {f"a{n}": "" for n in range(65)}}, "labels", "at most 64 items"),
        ({"gpu_types": ["A100"] * 65}, "gpu_types", "at most 64 items"),
        ({"gpu_types": [MEGABYTES]}, "gpu_types", "at most 200 characters"),
        ({"entrypoint": MEGABYTES}, "entrypoint", "at most 200 characters"),
    ],
)
@pytest.mark.parametrize("batch", [False, True], ids=["alone", "in a batch"])
def test_what_is_above_a_limit_is_refused_with_the_field_and_the_limit(fields, field, says, batch):
    asked = {"source": "x = 1", **fields}
    with pytest.raises(ValidationError) as caught:
        Batch.model_validate({"jobs": [asked]}) if batch else SubmissionBody.model_validate(asked)
    (mistake,) = caught.value.errors()
    assert field in mistake["loc"]
    assert says in mistake["msg"]


@pytest.mark.parametrize("owner", ["", "x" * 201, "a\nb"])
def test_a_users_name_is_short_and_printable(owner):
    with pytest.raises(ValidationError):
        TokenAsked(owner=owner, role="read")


def test_a_line_that_nobody_wrote_is_refused_and_its_place_told():
    asked = SubmissionBody(source="x = 1\ny = 1" + " + 1" * 100_000)
    with pytest.raises(SourceError, match=r"main.py: line 2 has 400,005 characters, the limit is 100,000"):
        source_of(program_of(asked))
    source_of(Program(files={"main.py": "x = 1", "data.txt": "y" * 200_000}, entrypoint="main.py"))


def test_the_scheduler_keeps_nothing_that_no_process_can_be_given():
    whole = request("one")
    for program in (
        Program(files={"m.py": "x"}, entrypoint="m.py", environment={"A": "x" * 32_769}),
        Program(files={"m.py": "x"}, entrypoint="m.py", arguments=("x" * 131_073,)),
    ):
        with pytest.raises(InputError, match="the limit is"):
            checked(type(whole)(job=whole.job, predictions=whole.predictions, program=program))


def test_the_client_refuses_before_it_sends(tmp_path):
    path = tmp_path / "job.py"
    path.write_text("x = 1\n")
    with pytest.raises(InputError, match="the limit is 32,768"):
        job_of(path, environment={"A": MEGABYTES})
    path.write_text("y = 1" + " + 1" * 100_000)
    with pytest.raises(SourceError, match="line 1 has 400,005 characters"):
        job_of(path)


def test_an_environment_at_its_limits_is_taken():
    check_environment({f"A{n}": "x" * 32_766 for n in range(4)})

"""What Python does not run is refused at the door, not on a GPU."""

import base64
import io
import zipfile

import pytest

from serve.desk.programs import program_of
from serve.wire.problems import Refusal
from serve.wire.schemas import SubmissionBody

NOTEBOOK = '{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
SHELL = "#!/bin/bash\npython train.py --epochs 3\n"


def zipped(name, text):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(name, text)
    return base64.b64encode(out.getvalue()).decode()


@pytest.mark.parametrize(
    ("name", "text", "what", "remedy"),
    [
        ("run.sh", "python train.py\n", "a script for a shell", "submit the file that it starts"),
        ("RUN.SH", "python train.py\n", "a script for a shell", "submit the file that it starts"),
        ("run", SHELL, "a script for a shell", "submit the file that it starts"),
        ("main.py", "\ufeff" + SHELL, "a script for a shell", "submit the file that it starts"),
        ("train.ipynb", "{", "a notebook", "jupyter nbconvert --to script"),
        ("main.py", NOTEBOOK, "a notebook", "jupyter nbconvert --to script"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_a_shell_script_or_a_notebook_is_refused_with_a_remedy(name, text, what, remedy, packed):
    given = {"archive": zipped(name, text)} if packed else {"source": text}
    with pytest.raises(Refusal) as caught:
        program_of(SubmissionBody(entrypoint=name, **given))
    refusal = caught.value
    assert (refusal.status, refusal.field) == (422, "entrypoint")
    assert what in refusal.detail
    assert remedy in refusal.remedy


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("main.py", "#!/usr/bin/env python3\nprint(1)\n"),
        ("train", "print(1)\n"),
        ("main.py", "{1: 2}\n"),
        ("main.py", "{" * 5000),
        ("main.py", ""),
    ],
)
def test_python_is_taken_under_any_other_name(name, text):
    assert program_of(SubmissionBody(source=text, entrypoint=name)).files == {name: text}


def test_scripts_beside_the_program_are_its_own_affair():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("main.py", "print(1)\n")
        archive.writestr("run.sh", SHELL)
    body = SubmissionBody(archive=base64.b64encode(out.getvalue()).decode(), entrypoint="main.py")
    assert set(program_of(body).files) == {"main.py", "run.sh"}

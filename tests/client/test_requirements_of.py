"""Files of requirements as they are sent with a job."""

import pytest

from kilowait.client.asked_job import requirements_of
from kilowait.core.errors import InputError


def test_a_lock_goes_with_its_project_and_any_other_file_is_plain(tmp_path):
    for name, text in (("pyproject.toml", "p"), ("uv.lock", "l"), ("needs.txt", "n")):
        (tmp_path / name).write_text(text)
    both = {"pyproject.toml": "p", "uv.lock": "l"}
    assert requirements_of(tmp_path / "uv.lock") == requirements_of(tmp_path / "pyproject.toml") == both
    assert requirements_of(tmp_path / "needs.txt") == {"requirements.txt": "n"}
    (tmp_path / "uv.lock").unlink()
    assert requirements_of(tmp_path / "pyproject.toml") == {"pyproject.toml": "p"}


@pytest.mark.parametrize(("name", "words"), [("none.txt", "cannot be read"), ("environment.yml", "--software")])
def test_what_cannot_be_sent_is_refused(tmp_path, name, words):
    with pytest.raises(InputError, match=words):
        requirements_of(tmp_path / name)

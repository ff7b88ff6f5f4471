"""Reading a program parses each of its modules once, whatever is then asked of it."""

import ast
import pickle
from collections import Counter

import pytest

from kilowait.core.submission import Program
from kilowait.program import imports
from kilowait.program.effect import arguments_in_effect, arguments_refused
from kilowait.program.job_source import JobSource
from kilowait.program.limits import MAX_CONFIGURATION_BYTES
from kilowait.program.read import read_file, read_folder
from kilowait.program.text import as_source, texts
from serve.desk.programs import source_of
from tests.support.job_files import written

pytestmark = pytest.mark.ray  # the service reads programs too

OPTIONS = "import argparse\np = argparse.ArgumentParser()\np.add_argument('--epochs', type=int, default=3)\n"
FILES = {"main.py": "import model, data.images", "model.py": OPTIONS, "data/images.py": "import model", "other.py": ""}
ARGUMENTS = ["--epochs", "300"]


@pytest.fixture
def parsed(monkeypatch):
    """How often each text was parsed."""
    counted = Counter()

    class Ast:
        def __getattr__(self, name):
            return getattr(ast, name)

        def parse(self, text):
            counted[text] += 1
            return ast.parse(text)

    monkeypatch.setattr(imports, "ast", Ast())
    return counted


def ask(source):
    assert arguments_in_effect(source)["epochs"].value == 300
    assert arguments_refused(source) == ""
    assert "default=300" in as_source(source).text
    return list(texts(source))


ONCE = {"import model, data.images": 1, OPTIONS: 1, "import model": 1}


def test_a_folder_is_walked_once(tmp_path, parsed):
    source = read_folder(written(tmp_path, FILES), "main.py", ARGUMENTS).source
    assert ask(source) == ["main.py", "model.py", "data/images.py"]
    assert parsed == ONCE


def test_a_script_alone_is_parsed_once(tmp_path, parsed):
    source = read_file(written(tmp_path, {"train.py": OPTIONS}) / "train.py", ARGUMENTS).source
    assert ask(source) == ["train.py"]
    assert parsed == {OPTIONS: 1}


def test_a_submission_is_walked_once(parsed):
    program = Program(files=FILES, entrypoint="main.py", arguments=tuple(ARGUMENTS), environment={}, timeout_s=None)
    source, missing = source_of(program)
    assert ask(source) == ["main.py", "model.py", "data/images.py"]
    assert missing == ()
    assert parsed == ONCE


def test_a_record_that_travels_is_walked_where_it_arrives(tmp_path, parsed):
    source = read_folder(written(tmp_path, FILES), "main.py", ARGUMENTS).source
    sent = pickle.dumps(source)
    assert len(sent) < sum(map(len, FILES.values())) + 500  # the walk stays behind
    arrived = pickle.loads(sent)
    assert arrived == source == JobSource.from_json(source.to_json())
    assert ask(arrived) == ask(source)
    assert parsed == dict.fromkeys(ONCE, 2)


def test_the_text_follows_from_the_record_alone_where_data_is_left_out(tmp_path):
    """conf.json names the data in the folder, and the file beside the entrypoint in the record."""
    files = {
        "src/main.py": "import other\nopen('conf.json')\nopen('a.txt')",
        "src/other.py": "open('src/conf.json')",
        "conf.json": " " * (MAX_CONFIGURATION_BYTES + 1),
        "src/conf.json": "{}",
        "src/a.txt": "a",
    }
    source = read_folder(written(tmp_path, files), "src/main.py").source
    anew = JobSource.from_json(source.to_json())
    assert list(texts(source)) == list(texts(anew)) == ["src/main.py", "src/other.py", "src/conf.json", "src/a.txt"]

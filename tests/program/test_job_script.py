"""One script alone: any text, nothing read beside it, and no text that crashes what looks for imports and options."""

import io
import sys
from types import SimpleNamespace

import pytest

from kilowait.core.errors import SourceError
from kilowait.program.read import read_bytes, read_file, read_stdin
from kilowait.program.text import render
from tests.support.job_files import packed, written


def test_one_script_alone_is_any_text_and_nothing_is_read_beside_it(tmp_path):
    files = {"main.py": "from . import gone\nimport helper, torch", "helper.py": "", "run.sh": "set -e {", "c.yaml": ""}
    read = read_file(written(tmp_path, files) / "main.py", ["--config=c.yaml", "--other", "d.yaml"])
    assert read.source.files == {"main.py": b"from . import gone\nimport helper, torch"}
    assert read.source.arguments == ("--config=c.yaml", "--other", "d.yaml")
    assert read.notes == (
        "main.py, line 1: imports . (gone), and gone is not in the folder",
        f"helper is beside it and not read; give the folder: --entrypoint main.py {tmp_path}",
        f"c.yaml is beside it and not read; give the folder: --entrypoint main.py {tmp_path}",
    )
    assert read_file(tmp_path / "run.sh").source.files == {"run.sh": b"set -e {"}
    with pytest.raises(SourceError, match=r"a folder; say which file starts it, such as --entrypoint train.py"):
        read_file(tmp_path)
    with pytest.raises(SourceError, match=r"a zip; say which file starts it"):
        read_file(packed(tmp_path, files))


def test_standard_input_is_one_script(monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"x = 1\n")))
    read = read_stdin(["--epochs", "3"])
    assert (read.name, read.source.files, read.source.arguments) == ("stdin", {"stdin": b"x = 1\n"}, ("--epochs", "3"))


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000,
        "x" + ".y" * 20000,
        "x = " + "'a' / " * 3000 + "'b.json'",
        "x = " + "1 + " * 3000 + "1",
        "-" * 20000 + "1",
        "try:\n import a\nexcept (x.y, 3): pass\ntry:\n import b\nfinally: pass",
        "from . import *\nfrom .. import *\nfrom ....... import x",
        "import_module('')\nimport_module('...')\n__import__('a..b')\nimport_module(*x)",
        "open('')\nopen('.')\nopen('..json')\nopen('.json')\nos.path.join('', '')\nPath('a', '/b.json')",
        "open('" + "a/" * 2000 + "b.json')",
        "@hydra.main(config_path=None, config_name='c')\n@hydra.main(**x)\n@hydra.main(config_name=3)\ndef f(): ...",
        "\r\rparser.add_argument('--x', default='''\r\n\x0c''')",
    ],
    ids=range(12),
)
def test_no_script_crashes_it(text):
    source = read_bytes("main.py", text.encode(), ["--x", "3", "a.json", "=", "--", "-", "@", "x=", "=y"]).source
    assert source.files == {"main.py": text.encode()}
    assert "3" in render(source)


def test_a_name_that_no_schema_can_carry_is_replaced():
    assert read_bytes("dir/a\\b.py", b"x = 1").source.entrypoint == "script.py"
    assert read_bytes("dir/train.py", b"x = 1").source.entrypoint == "train.py"

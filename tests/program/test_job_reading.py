"""What belongs to a job's source: followed from the entrypoint in a folder or a zip; the rest left out or refused."""

import os
import shutil
import subprocess
import sys
from modulefinder import ModuleFinder
from pathlib import Path

import pytest

from kilowait.core.errors import SourceError
from kilowait.program import limits
from kilowait.program.read import read_folder, read_zip
from tests.support.job_files import PACKAGE, packed, written


def reached(tmp_path, files, arguments=(), entrypoint="main.py"):
    return list(read_folder(written(tmp_path, files), entrypoint, arguments).source.files)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import pkg", ["pkg/__init__.py"]),
        ("import pkg.a", ["pkg/__init__.py", "pkg/a.py"]),
        ("import pkg.sub.c as c", ["pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/c.py"]),
        ("from pkg import b, a", ["pkg/__init__.py", "pkg/b.py", "pkg/a.py"]),
        ("from pkg import something", ["pkg/__init__.py"]),
        ("from pkg import *", ["pkg/__init__.py"]),
        ("from pkg.sub import c", ["pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/c.py"]),
        ("from . import helper", ["helper.py"]),
        ("from .pkg import a", ["pkg/__init__.py", "pkg/a.py"]),
        ("def f():\n    if x:\n        import helper", ["helper.py"]),
        ("import importlib\nm = importlib.import_module('pkg.a')", ["pkg/__init__.py", "pkg/a.py"]),
        ("from importlib import import_module\nimport_module('.helper', __package__)", ["helper.py"]),
        ("__import__('helper')", ["helper.py"]),
        ("import loose.inner", ["loose/inner.py"]),
        ("from loose import inner", ["loose/inner.py"]),
        ("import torch, numpy.linalg\nfrom torch import nn", []),
        ("from loose import load_dataset", []),  # an installed package of the same name as a folder of data
        ("m = __import__(name)\nimport_module('pkg' + x)", []),
    ],
)
def test_local_imports_are_followed(tmp_path, line, expected):
    files = {"main.py": f"x = 1\n{line}\n", "helper.py": "", "loose/inner.py": "", **PACKAGE}
    assert reached(tmp_path, files) == ["main.py", *expected]


def test_modules_come_in_the_order_in_which_they_would_begin_to_run(tmp_path):
    files = {
        "main.py": "import b\nimport a\nopen('conf.json')",
        "a.py": "import d",
        "b.py": "import c\nopen('b.toml')",
        "c.py": "import main, b",
        "d.py": "",
        "conf.json": "{}",
        "b.toml": "",
    }
    assert reached(tmp_path, files) == ["main.py", "b.py", "c.py", "a.py", "d.py", "conf.json", "b.toml"]


def test_an_entrypoint_in_a_subfolder_sees_its_own_folder_and_the_jobs(tmp_path):
    files = {"src/run.py": "import near\nimport far\nfrom .other import x", "src/near.py": "", "src/other.py": "x = 1"}
    files |= {"far.py": "", "near.py": "other"}
    assert reached(tmp_path, files, entrypoint="src/run.py") == ["src/run.py", "src/near.py", "far.py", "src/other.py"]


@pytest.mark.parametrize(
    ("line", "arguments", "expected"),
    [
        ("", ["--config", "conf.yaml"], ["conf.yaml"]),
        ("", ["--config=conf.yaml"], ["conf.yaml"]),
        ("", ["--config", "./configs/small.toml"], ["configs/small.toml"]),
        ("", ["@options.txt"], ["options.txt"]),
        ("", ["configs/tiny.py"], ["configs/tiny.py"]),
        ("open('conf.yaml')", [], ["conf.yaml"]),
        ("p.add_argument('--config', default='conf.yaml')", [], ["conf.yaml"]),
        ("Path(__file__).parent / 'configs' / 'small.toml'", [], ["configs/small.toml"]),
        ("os.path.join(HERE, 'configs', 'small.toml')", [], ["configs/small.toml"]),
        ("open('base.ini')", [], ["base.ini", "conf.yaml"]),  # base.ini names conf.yaml
        ("", ["--config", "absent.yaml", "--data", "/mnt/data.json", "--out", "../out.json"], []),
        ("open('picture.png')\nopen('data.csv')", [], []),
        ("x = 'conf'", [], []),
    ],
)
def test_files_that_code_and_arguments_name_belong_to_it(tmp_path, line, arguments, expected):
    files = {
        "main.py": f"x = 1\n{line}\n",
        "conf.yaml": "epochs: 3\n",
        "configs/small.toml": "",
        "configs/tiny.py": "",
        "options.txt": "",
        "base.ini": "[main]\nextends = conf.yaml\n",
        "picture.png": b"\x89PNG\0",
        "data.csv": "1",
    }
    assert reached(tmp_path / "job", files, arguments) == ["main.py", *expected]


@pytest.mark.parametrize(
    ("arguments", "model", "more"),
    [
        ([], "small", []),
        (["model=large", "lr=3"], "large", []),
        (["+extra=debug", "-x"], "small", ["conf/extra/debug.yaml"]),
    ],
)
def test_the_configuration_that_hydra_composes_belongs_to_it(tmp_path, arguments, model, more):
    files = {
        "src/main.py": "@hydra.main(config_path='../conf', config_name='config')\ndef main(cfg): ...",
        "conf/config.yaml": "defaults:\n  - _self_\n  - model: small  # or large\n\n"
        "  - override /data: images\nlr: 1\n- no: entry",
        "conf/model/small.yaml": "defaults:\n- base\n",
        "conf/model/large.yaml": "",
        "conf/base.yaml": "",
        "conf/data/images.yaml": "",
        "conf/no/entry.yaml": "",
        "conf/extra/debug.yaml": "",
    }
    found = reached(tmp_path, files, arguments, entrypoint="src/main.py")
    rest = ["conf/base.yaml"] if model == "small" else []
    assert found == [
        "src/main.py", "conf/config.yaml", *(["conf/model/large.yaml"] if model == "large" else []), *more,
        *(["conf/model/small.yaml"] if model == "small" else []), "conf/data/images.yaml", *rest,
    ]  # fmt: skip


def test_what_a_configuration_calls_by_its_dotted_name_belongs_to_it(tmp_path):
    files = {
        "main.py": "load('conf.yaml')",
        "conf.yaml": "log:\n  _target_: pkg.sub.c.Logger\nnet: pkg.a.Net.small\nother: torch.optim.Adam\n",
        **PACKAGE,
    }
    found = reached(tmp_path, files)
    assert found == ["main.py", "pkg/__init__.py", "pkg/sub/__init__.py", "pkg/sub/c.py", "pkg/a.py", "conf.yaml"]


def test_imports_are_followed_as_the_standard_library_follows_them(tmp_path):
    """On this package's own commands, hundreds of imports: modulefinder knows nothing of this code."""
    root = Path(__file__).parents[2]
    for package in ("kilowait", "pipelines", "benchmarks"):
        shutil.copytree(
            root / package, tmp_path / package, ignore=lambda f, _: ["data"] if f == f"{root}/kilowait" else []
        )
    for entrypoint in ("benchmarks/patience.py", "benchmarks/refit.py"):
        finder = ModuleFinder(path=[str(tmp_path / "benchmarks"), str(tmp_path)])
        finder.run_script(str(tmp_path / entrypoint))
        expected = {Path(m.__file__).relative_to(tmp_path) for m in finder.modules.values() if m.__file__}
        found = read_folder(tmp_path, entrypoint).source.files
        assert {Path(path) for path in found if path.endswith(".py")} == expected
        assert len(expected) > 20


def test_what_is_reached_runs_where_it_is_written(tmp_path):
    files = {
        "main.py": "import sys, json\nfrom pkg import a\n"
        "print(a.scale(json.load(open('conf.json'))['n']), sys.argv[1:])",
        **PACKAGE,
        "pkg/a.py": "from .sub.c import factor\ndef scale(n):\n    import late\n    return n * factor + late.one",
        "pkg/sub/c.py": "factor = 10",
        "late.py": "one = 1",
        "conf.json": '{"n": 4}',
        "unused.py": "",
    }
    read = read_folder(written(tmp_path / "job", files), "main.py", ["--epochs", "3"])
    scratch = written(tmp_path / "scratch", read.source.files)
    command = [sys.executable, read.source.entrypoint, *read.source.arguments]
    ran = subprocess.run(command, cwd=scratch, capture_output=True, text=True, check=True)
    assert ran.stdout == "41 ['--epochs', '3']\n"
    assert not (tmp_path / "scratch" / "unused.py").exists()


def test_what_is_not_reached_is_left_out_with_the_reason(tmp_path):
    files = {
        "main.py": "open('big.json')",
        "unused.py": "",
        "weights.bin": b"\0",
        "big.json": "1" * 100_001,
        ".git/config": "",
        "env/pyvenv.cfg": "",
        "env/lib.py": "",
        "__pycache__/main.pyc": b"\0",
    }
    written(tmp_path, files)
    os.symlink("/etc", tmp_path / "etc")
    assert dict(read_folder(tmp_path, "main.py").left_out) == {
        "unused.py": "not reached from main.py",
        "weights.bin": "not reached from main.py",
        "big.json": "taken for data: 100,001 bytes, configuration has at most 100,000",
        ".git/": "a hidden folder, cache or environment",
        "env/": "a hidden folder, cache or environment",
        "__pycache__/": "a hidden folder, cache or environment",
        "etc/": "a symbolic link; links are not followed",
    }


def test_installed_modules_are_told_from_local_ones(tmp_path):
    files = {"main.py": "import torch.nn, helper\nfrom json import loads", "helper.py": "import numpy as np"}
    assert read_folder(written(tmp_path, files), "main.py").installed == ("torch", "json", "numpy")


def test_a_package_behind_a_module_of_its_name_is_found(tmp_path):
    files = {"net/__init__.py": "", "net/net.py": "from net.layers import Layer\n", "net/layers.py": "Layer = int\n"}
    assert set(read_folder(written(tmp_path, files), "net/net.py").source.files) == set(files)


LETTERS = "abcdefghijklmnopqrstuvw"
REFUSED = [
    ({"main.py": "x = 1\ndef f(:\n"}, "main.py: syntax error in line 2"),
    ({"main.py": "import helper", "helper.py": b"\0\1"}, r"helper.py: a binary file \(NUL byte at offset 0\)"),
    ({"main.py": "import helper", "helper.py": b"\xff"}, "helper.py: not UTF-8 at byte 0"),
    ({"main.py": "open('c.json')", "c.json": b"\0"}, "c.json: a binary file"),
    (
        {"main.py": "import helper", "helper.py": "#" * 1_000_001},
        "helper.py: 1,000,001 bytes of source; the limit is 1,000,000",
    ),
    ({"main.py": "from . import gone"}, "main.py, line 1: imports . .gone., and gone is not in the folder"),
    (
        {"main.py": "\nimport pkg.gone", **PACKAGE},
        "main.py, line 2: imports pkg.gone, and pkg/gone is not in the folder",
    ),
    ({"main.py": "import pkg.a", **PACKAGE, "pkg/a.py": "from .gone import x"}, "pkg/a.py, line 1: imports .gone"),
    ({"main.py": "from .. import x"}, "leads out of the folder"),
    ({"main.py": ""}, "main.py: the file is empty"),
    (
        {"main.py": "".join(f"import m{i}\n" for i in range(2000)), **{f"m{i}.py": "" for i in range(2000)}},
        "m1999.py: the source's file number 2001; the limit is 2000",
    ),
    (
        {"main.py": f"import {', '.join(LETTERS)}", **{f"{name}.py": "#" * 900_000 for name in LETTERS}},
        "w.py: 20,700,074 bytes of source with it; the limit is 20,000,000",
    ),
]


@pytest.mark.parametrize(("files", "message"), REFUSED)
def test_what_cannot_be_part_of_a_source_is_refused_by_name(tmp_path, files, message):
    with pytest.raises(SourceError, match=message):
        read_folder(written(tmp_path / "folder", files), "main.py")
    with pytest.raises(SourceError, match=message):
        read_zip(packed(tmp_path, files), "main.py")


@pytest.mark.parametrize("catching", ["ImportError", "(ValueError, ModuleNotFoundError)", ""])
def test_a_missing_import_that_the_program_expects_is_only_noted(tmp_path, catching):
    files = {"main.py": f"try:\n    from . import fast\nexcept {catching}:\n    fast = None"}
    read = read_folder(written(tmp_path, files), "main.py")
    assert read.notes == ("main.py, line 2: imports . (fast), and fast is not in the folder",)


def test_compiled_modules_are_not_missing(tmp_path):
    files = {"main.py": "from . import fast\nimport pkg.quick", "fast.cpython-311.so": b"\0"}
    files |= {"pkg/__init__.py": "", "pkg/quick.pyd": b"\0"}
    assert reached(tmp_path, files) == ["main.py", "pkg/__init__.py"]


@pytest.mark.parametrize(
    ("entrypoint", "message"),
    [
        ("train.py", "no train.py in it; did you mean src/train.py"),
        ("nowhere.py", "no nowhere.py in it; the entrypoint is a path relative to it"),
        ("../main.py", "leads out of its folder"),
        ("/main.py", "an absolute path"),
        ("run.sh", "the entrypoint run.sh is no Python file"),
    ],
)
def test_a_wrong_entrypoint_is_refused(tmp_path, entrypoint, message):
    files = {"src/train.py": "x = 1", "run.sh": "python src/train.py"}
    with pytest.raises(SourceError, match=message):
        read_folder(written(tmp_path / "folder", files), entrypoint)
    with pytest.raises(SourceError, match=message):
        read_zip(packed(tmp_path, files), entrypoint)


def test_a_link_that_is_reached_is_refused_and_never_read(tmp_path):
    (tmp_path / "secret.py").write_text("key = 1")
    written(tmp_path / "job", {"main.py": "import secret"})
    os.symlink("../secret.py", tmp_path / "job" / "secret.py")
    with pytest.raises(SourceError, match=r"secret.py: a symbolic link; links are not followed"):
        read_folder(tmp_path / "job", "main.py")


def test_a_pipe_in_the_folder_does_not_block(tmp_path):
    written(tmp_path, {"main.py": "open('conf.json')"})
    os.mkfifo(tmp_path / "conf.json")
    with pytest.raises(SourceError, match=r"conf.json: no regular file"):
        read_folder(tmp_path, "main.py")


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "MAX_CANDIDATES", 3)
    files = {"main.py": "x", "a.txt": "", "b.txt": "", "c.txt": ""}
    with pytest.raises(SourceError, match=r"more than 3 files; give the folder of the code without its data"):
        read_folder(written(tmp_path / "folder", files), "main.py")
    with pytest.raises(SourceError, match=r"4 files in it; the limit is 3"):
        read_zip(packed(tmp_path, files), "main.py")

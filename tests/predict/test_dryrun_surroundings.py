"""What a program finds around itself in a dry run: variables, folders, modules."""

from collections.abc import Iterator

import pytest

from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun
from kilowait.predict.dryrun.sandbox import sandbox_available

REASON = sandbox_available()
GOOD = "import os, torch\na, b = torch.randn(4, 5), torch.randn(5, 6)\na @ b\n"


@pytest.fixture(scope="module", params=["unsafe", "sandboxed"])
def runner(request: pytest.FixtureRequest) -> Iterator[DryRunner]:
    if request.param == "sandboxed" and REASON is not None:
        pytest.skip(REASON)
    with DryRunner(budget_s=30, target="cpu", unsafe=request.param == "unsafe") as runner:
        yield runner


def run(runner: DryRunner, text: str, files: dict[str, str] | None = None, **given: object) -> DryRun:
    contents = {"src/job.py": GOOD + text, **(files or {})}
    program = DryProgram(
        files={name: content.encode() for name, content in contents.items()},
        entrypoint="src/job.py",
        content_hash="1",
        **given,  # type: ignore[arg-type]
    )
    return runner.run_program(program)


def test_its_variables_are_there(runner: DryRunner) -> None:
    found = run(runner, "for _ in range(int(os.environ['TIMES'])): a @ b", environment={"TIMES": "6"})
    assert (found.completeness, found.unset) == (Completeness.WHOLE, ())
    assert next(op.count for op in found.operations if op.op == "aten.mm") == 7


def test_what_it_reads_in_vain_is_told(runner: DryRunner) -> None:
    text = "import helper\nos.environ.get('ONE', 1); os.getenv('TWO'); 'THREE' in os.environ\nos.environ['FOUR']"
    found = run(runner, text, {"src/helper.py": "import os\nos.environ.get('FIVE')\nos.environ.setdefault('SIX', '6')"})
    assert found.unset == ("FIVE", "ONE", "TWO", "THREE", "FOUR")
    assert "KeyError: 'FOUR'" in found.reason


def test_what_libraries_read_is_not(runner: DryRunner) -> None:
    assert run(runner, "import torch.utils.cpp_extension, webbrowser, tempfile; tempfile.gettempdir()").unset == ()


def test_folders_are_its_own_and_writable(runner: DryRunner) -> None:
    text = (
        "for path in (os.path.expanduser('~/.cache/x'), '../data/x', '../../out/x', 'runs/x', '/tmp/x'):\n"
        "    os.makedirs(os.path.dirname(path), exist_ok=True)\n"
        "    with open(path, 'w') as file: file.write('1')\n"
        "assert os.environ['HOME'] not in ('/root', '/') and not os.path.exists(os.path.expanduser('~/.ssh'))\n"
        "assert not os.isatty(0) and not os.isatty(1) and not os.isatty(2)\n"
    )
    found = run(runner, text)
    assert (found.completeness, found.reason) == (Completeness.WHOLE, "")


def test_its_own_host_has_an_address_though_there_is_no_network(runner: DryRunner) -> None:
    text = (
        "import socket\n"
        "for name in (socket.gethostname(), socket.getfqdn(), 'localhost'):\n"
        "    assert socket.gethostbyname(name) == '127.0.0.1'\n"
        "    assert socket.getaddrinfo(name, 80)[0][4][0] == '127.0.0.1'\n"
    )
    assert run(runner, text).completeness == Completeness.WHOLE


def test_the_root_and_the_folder_of_the_entrypoint_are_importable(runner: DryRunner) -> None:
    files = {"package/__init__.py": "", "package/part.py": "N = 2", "src/beside.py": "N = 3"}
    found = run(runner, "import beside, package.part\nassert (beside.N, package.part.N) == (3, 2)", files)
    assert (found.completeness, found.reason) == (Completeness.WHOLE, "")


def test_folders_of_its_pythonpath_come_before_the_root(runner: DryRunner) -> None:
    files = {"lib/part.py": "N = 2", "part.py": "N = 3", "other.py": "N = 4"}
    found = run(runner, "import part, other\nassert (part.N, other.N) == (2, 4), (part.N, other.N)", files,
                environment={"PYTHONPATH": "lib"})  # fmt: skip
    assert (found.completeness, found.reason) == (Completeness.WHOLE, "")


def test_it_starts_in_its_folder(runner: DryRunner) -> None:
    files = {"conf/a.txt": "4"}
    found = run(runner, "assert open('a.txt').read() == '4'\nimport sys\nassert sys.argv[1] == 'x'", files,
                folder="conf", arguments=("x",))  # fmt: skip
    assert (found.completeness, found.reason) == (Completeness.WHOLE, "")

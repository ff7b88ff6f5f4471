"""Which tests need Ray, PyTorch or patience; the folder of public measurements; databases. Nothing heavy loads here."""

import ast
import gc
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.support.examples import QUICK, SUITE, WHOLE
from tests.support.patient_ray import wait_for_nodes
from tests.support.postgres_server import postgres
from tests.support.shared_ray import close_shared_ray, open_shared_ray

HERE = Path(__file__).parent

# Ray Serve gives a proxy 5 s to start and 10 s to answer, then kills it: a busy machine takes longer.
for limit in ("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S"):
    os.environ.setdefault(limit, "300")

os.environ.setdefault("KILOWAIT_WARM_MINUTES", "0")  # no test leaves a process behind unless it is about that
os.environ.setdefault("RAY_SERVE_CONTROL_LOOP_INTERVAL_S", "0.5")  # ten times a second is a tenth of a core
os.environ.setdefault("REPORTER_UPDATE_INTERVAL_MS", "60000")  # Ray's figures of each node's processes: nobody asks

# Several processes share two cores: threads of one that wait for each other, spinning, took 40 CPU seconds where one
# thread takes 1 (tests/lab/evaluate/test_stacked.py).
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # of those that ask for more by themselves

HEAVY = ("ray", "torch")
FOLDERS = {
    "lab/corpus": {"torch"},
    "lab/evaluate": {"torch"},
    "pipelines": {"ray", "torch"},
    "predict": {"torch"},
    "serve": {"ray"},
    "tuning": {"ray", "torch"},
}
"""What the tests of a folder load; what one module of another folder loads stands in its `pytestmark`."""

# A busy machine is slow: no example has a time limit, and slow examples are no fault.
# `--hypothesis-profile whole` tries more, `quick` fewer.
for name, count in (("whole", WHOLE), ("suite", SUITE), ("quick", QUICK)):
    settings.register_profile(name, deadline=None, max_examples=count, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")


def of_folder(path: Path) -> set[str]:
    """The marks of the folder of tests in which something lies."""
    return set().union(*(marks for folder, marks in FOLDERS.items() if path.is_relative_to(HERE / folder)))


@cache
def needs(module: Path) -> frozenset[str]:
    """The marks of a test module, told by its folder and by the names in its `pytestmark`, without importing it."""
    own = set()
    for statement in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "pytestmark":
            own = {node.attr for node in ast.walk(statement.value) if isinstance(node, ast.Attribute)}
    return frozenset((own & {*HEAVY, "slow"}) | of_folder(module))


def left_out(config: pytest.Config) -> list[str]:
    """The heavy packages that this run does without: `-m "not ray and not torch"` names both."""
    return [name for name in HEAVY if f"not {name}" in config.option.markexpr]


class Absent(MetaPathFinder):
    """Packages that cannot be imported, as where they are not installed."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname in self.names:
            raise ModuleNotFoundError(f"this run does without {fullname}: mark the test, see {__file__}", name=fullname)


def pytest_configure(config: pytest.Config) -> None:
    """A run without Ray or PyTorch goes as where they are not installed."""
    absent = left_out(config)
    if loaded := [name for name in absent if name in sys.modules]:
        raise pytest.UsageError(f"{', '.join(loaded)}: loaded before the tests, by a plugin or a conftest")
    if absent:
        sys.meta_path.insert(0, Absent(absent))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """A folder or module that needs what this run does without is not even imported."""
    if collection_path.is_dir() and HERE in collection_path.parents:
        return True if of_folder(collection_path) & set(left_out(config)) else None
    if collection_path.suffix == ".py" and collection_path.name.startswith("test_"):
        return True if needs(collection_path) & set(left_out(config)) else None
    return None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """No garbage is sought while modules are imported, nor ever among what they made: they are there to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@cache
def _text(module: Path) -> str:
    return module.read_text(encoding="utf-8")


LONG = ("test_wheel.py", "test_fuzzed_api.py")
"""Files that take minutes by themselves, besides those with a service."""


def turn(item: pytest.Item) -> int:
    """When the tests of a module go: what takes long first, so that it does not end alone.

    Those that share a Ray go one after the other: any other module with one would end it.
    """
    source = _text(item.path)
    if item.path.name in LONG or re.search(r"ServiceWorld|common_world", source):
        return 0
    return 2 if "one_ray" in source else 1 if "ray" in needs(item.path) else 3


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests stay in one process, and so do the files that share a service."""
    from xdist.scheduler import LoadFileScheduling

    class ByFileAndWorld(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file: str = super()._split_scope(nodeid)
            return "common_world" if "common_world" in _text(config.rootpath / file) else file

    return ByFileAndWorld(config, log) if config.option.dist == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test has the marks of its folder, and goes when it is its module's turn."""
    for item in items:
        for mark in sorted(of_folder(item.path)):
            item.add_marker(mark)
    turns = {path: turn(item) for path, item in {item.path: item for item in items}.items()}
    items.sort(key=lambda item: turns[item.path])


@pytest.fixture
def shared_data() -> Callable[[str], Path]:
    """A subfolder of the folder that KILOWAIT_SHARED_DATA names; the test is skipped where there is none."""

    def subfolder(name: str) -> Path:
        named = os.environ.get("KILOWAIT_SHARED_DATA")
        if not named:
            pytest.skip(f"KILOWAIT_SHARED_DATA names no folder of public {name}")
        folder = Path(named) / name
        if not folder.is_dir():
            pytest.skip(f"{folder} is no folder")
        return folder

    return subfolder


@pytest.fixture(scope="session", autouse=True)
def shared_ray_ends() -> Iterator[None]:
    """Whatever Ray is shared by tests ends with them."""
    yield
    close_shared_ray()
    end_common_world()


@pytest.fixture(scope="module", autouse=True)
def no_other_ray(request: pytest.FixtureRequest) -> None:
    """A module that starts a Ray of its own finds none, and waits as long as that takes."""
    if "ray" in sys.modules:
        wait_for_nodes()
    source = Path(request.module.__file__).read_text(encoding="utf-8")
    if "one_ray" not in source and re.search(r"\bray\b|ServiceWorld|common_world", source):
        close_shared_ray()
    if "common_world" not in source:
        end_common_world()


def end_common_world() -> None:
    """End the service that files share, where one runs; a process that never had it does not load it for that."""
    if support := sys.modules.get("tests.support.common_world"):
        support.close_common_world()


@pytest.fixture(scope="module")
def common_world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A service, the same for every module that asks for it."""
    from tests.support.common_world import open_common_world

    return open_common_world(tmp_path_factory)


@pytest.fixture(scope="module")
def one_ray() -> None:
    """A Ray of two CPUs, the same for every module that asks for it."""
    open_shared_ray()


@pytest.fixture(scope="module")
def database_server() -> Iterator[str]:
    """The URL of a PostgreSQL server that answers; the test is skipped where its programs are not installed."""
    from kilowait.core.errors import StoreError
    from kilowait.history.store import Store

    with postgres() as url:
        deadline_s = time.monotonic() + 300
        while True:
            try:
                Store(url).close()
                break
            except StoreError:  # it is starting
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(0.1)
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path, closed: None) -> str:
    """The URL of an empty database, of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/kilowait.db"
    import sqlalchemy

    url: str = request.getfixturevalue("database_server")
    engine = sqlalchemy.create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP SCHEMA public CASCADE")
        connection.exec_driver_sql("CREATE SCHEMA public")
    engine.dispose()
    return url


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every store that the test opens is closed."""
    from kilowait.history.store import Store

    opened, create = [], Store.__init__

    def remember(self: Store, url: str) -> None:
        create(self, url)
        opened.append(self)

    monkeypatch.setattr(Store, "__init__", remember)
    yield
    for store in opened:
        store.close()

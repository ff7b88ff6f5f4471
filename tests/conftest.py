"""The folder of public measurements and traces, for the tests that check against them; databases; dry runs."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy

from kilowait.core.errors import StoreError
from kilowait.history.store import Store
from kilowait.predict.dryrun.dry_runner import DryRunner
from tests.support.postgres_server import postgres


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


@pytest.fixture(scope="module")
def database_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a PostgreSQL server that answers; the test is skipped where its programs are not installed."""
    with postgres(tmp_path_factory.mktemp("postgres")) as url:
        deadline_s = time.monotonic() + 30
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
    opened, create = [], Store.__init__

    def remember(self: Store, url: str) -> None:
        create(self, url)
        opened.append(self)

    monkeypatch.setattr(Store, "__init__", remember)
    yield
    for store in opened:
        store.close()


@pytest.fixture(scope="session")
def runner() -> Iterator[DryRunner]:
    """Runs programs dry on a pretended GPU, without a sandbox: only for programs that the tests themselves write."""
    with DryRunner(budget_s=30, target="cuda", unsafe=True) as runner:
        yield runner

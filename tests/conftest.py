"""The folder of public measurements and traces, for the tests that check against them; one worker of dry runs."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kilowait.predict.dryrun.runner import DryRunner


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


@pytest.fixture(scope="session")
def runner() -> Iterator[DryRunner]:
    """Runs programs dry on a pretended GPU, without a sandbox: only for programs that the tests themselves write."""
    with DryRunner(budget_s=30, target="cuda", unsafe=True) as runner:
        yield runner

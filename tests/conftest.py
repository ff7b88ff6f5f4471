"""The folder of public measurements and traces, for the tests that check against them."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest


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

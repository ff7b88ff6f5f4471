"""Dry runs that the tests of predictions share."""

from collections.abc import Iterator

import pytest

from kilowait.predict.dryrun.dry_runner import DryRunner


@pytest.fixture(scope="session")
def runner() -> Iterator[DryRunner]:
    """Runs programs dry on a pretended GPU, without a sandbox: only for programs that the tests themselves write."""
    with DryRunner(budget_s=120, target="cuda", unsafe=True) as runner:
        yield runner

"""A small cluster on which a price steers itself."""

import pytest

from kilowait.cluster.advance import advance
from kilowait.cluster.events import GpusJoined
from kilowait.cluster.state import Cluster


@pytest.fixture
def one_board():
    """A cluster of one A."""
    cluster = Cluster()
    advance(cluster, GpusJoined(time_s=0.0, node="n", gpu_type="A", gpus=1))
    return cluster

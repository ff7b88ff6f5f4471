"""A service over a Ray cluster that asks for no token: refused, unless it is told to serve all the same."""

import socket

import pytest
import ray

from kilowait.core.closed_ray import closed_ray, read_again
from kilowait.core.errors import InputError
from serve.scheduler.deploy import deploy
from serve.scheduler.open_cluster import refuse_open_cluster
from serve.scheduler.settings import SchedulerSettings
from serve.start import main


@pytest.fixture
def _disabled():
    """An operator says that Ray shall ask for no token; Ray in this process forgets it afterwards."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_AUTH_MODE", "disabled")
        yield
    read_again(ray)


@pytest.mark.usefixtures("_disabled")
def test_the_scheduler_refuses_unless_it_is_told(tmp_path):
    with closed_ray(ray, tmp_path / "ray-token"):
        ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
        try:
            url = f"sqlite:///{tmp_path}/kilowait.db"
            with pytest.raises(InputError, match=r"127\.0\.0\.1:\d+ answers clients without a token: .*AUTH_MODE"):
                deploy(SchedulerSettings(url=url))
            scheduler = deploy(SchedulerSettings(url=url, allow_open_cluster=True))
            assert ray.get(scheduler.status.remote())["problem"] is None
        finally:
            ray.shutdown()


@pytest.mark.usefixtures("_disabled")
def test_the_service_does_not_start(tmp_path, capsys):
    assert main(["--database", f"sqlite:///{tmp_path}/kilowait.db", "--pretend", "A100=1"]) == 2
    assert "answers clients without a token" in capsys.readouterr().err


def test_a_cluster_that_does_not_answer_is_not_taken_for_a_closed_one(monkeypatch):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        monkeypatch.setattr("serve.scheduler.open_cluster.PATIENCE_S", 3.0)
        with pytest.raises(InputError, match=rf"{address} does not say if it wants a token \(no answer within 3 s\)"):
            refuse_open_cluster(address, allowed=False)

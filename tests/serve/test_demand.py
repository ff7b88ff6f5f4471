"""What the autoscaler is asked for, counted by hand; its groups are those of examples/cluster/aws.yaml."""

from pathlib import Path

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config

from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.policies.simple import simple
from serve.scheduler import autoscaling
from serve.scheduler.autoscaling import AutoscalerRequest, bundles, main, wanted
from tests.support.autoscaling import started_for
from tests.support.live_world import request, seen

FAST_ON_A100 = seen(A100=(10, 1), L40S=(20, 1))
FAST_ON_L40S = seen(A100=(30, 1), L40S=(20, 1))


@pytest.fixture
def live(tmp_path, closed):
    controller = Controller(Store(f"{tmp_path}/k.db"), simple(), order=("A100", "L40S"))
    controller.node_joined("n1", "A100", 8, 0.0)
    controller.node_joined("n2", "L40S", 4, 0.0)
    return controller


def submit(live, count, predictions, **fields):
    for _ in range(count):
        live.submit(request(predictions=predictions, **fields), 1.0)


def test_nobody_there_wants_nothing(live):
    assert wanted(live.cluster, {"A100": 16, "L40S": 8}) == {}


def test_each_waiting_job_wants_its_fastest_type(live):
    submit(live, 3, FAST_ON_A100, gpus=2)
    submit(live, 2, FAST_ON_L40S)
    assert wanted(live.cluster, {"A100": 16, "L40S": 8}) == {"A100": 6, "L40S": 2}


def test_running_jobs_are_counted_where_they_run_and_what_is_full_leaves_the_next_type(live):
    submit(live, 2, seen(A100=(10, 1)), gpus=4)
    assert len(live.decide(2.0)) == 2
    submit(live, 3, FAST_ON_A100, gpus=4)  # 8 of 12 A100 run: one more fits there, and one on the 4 L40S
    assert wanted(live.cluster, {"A100": 12, "L40S": 4}) == {"A100": 12, "L40S": 4}


def test_shares_of_a_board_are_added_up(live):
    submit(live, 5, FAST_ON_L40S, gpu_milli=500)
    assert wanted(live.cluster, {"L40S": 8}) == {"L40S": 3}  # 2.5 boards


def test_a_type_that_may_not_grow_is_not_asked_for(live):
    submit(live, 5, FAST_ON_A100)
    assert wanted(live.cluster, {"L40S": 2}) == {"L40S": 2}


def test_it_asks_when_something_changed_and_only_then(live, monkeypatch):
    asked = []
    monkeypatch.setattr(autoscaling, "request_resources", lambda bundles: asked.append(len(bundles)))
    asks = AutoscalerRequest({"A100": 16})
    asks.look(live.cluster)
    submit(live, 3, FAST_ON_A100)
    asks.look(live.cluster)
    asks.look(live.cluster)
    for attempt in live.decide(2.0):
        live.cancel(attempt.job_id, 3.0)
    assert asked == [0, 3]  # at first it takes back what one before it may have asked for
    AutoscalerRequest({}).look(live.cluster)
    assert asked == [0, 3]


def test_rays_autoscaler_starts_what_is_asked_for():
    config = yaml.safe_load((Path(__file__).parents[2] / "examples" / "cluster" / "aws.yaml").read_text())
    groups = prepare_config(config)["available_node_types"]
    assert started_for(groups, "head", bundles({"A100": 9, "L40S": 3})) == {"a100": 2, "l40s": 1}


def test_a_type_that_nobody_knows_is_named_before_a_cluster_is_looked_for(capsys):
    assert main(["A1000=3"]) == 2
    assert "unknown GPU type 'A1000'" in capsys.readouterr().err

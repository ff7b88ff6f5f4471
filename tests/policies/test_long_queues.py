"""On hundreds of jobs with a long queue the indexes choose as sorting everything at every event does."""

import pytest

from benchmarks import plain
from benchmarks.jobs import Setting, mean_queue, offered_load, submissions
from kilowait.policies.easy import easy
from kilowait.policies.simple import simple
from kilowait.policies.sjf import sjf
from kilowait.policies.value import value
from kilowait.simulate.loop import simulate

SETTINGS = [
    Setting(jobs=600, types=2, gpus=8, burst_jobs=200),
    Setting(jobs=400, types=5, gpus=4, burst_jobs=150, load=1.2, seed=1),
]


@pytest.mark.parametrize("setting", SETTINGS, ids=["two types", "five types"])
@pytest.mark.parametrize(
    ("policy", "choose"),
    [(simple(), plain.simple), (value(kappa=1e-3), plain.value(1e-3)), (sjf(), plain.sjf), (easy(), plain.easy)],
    ids=["simple", "value", "sjf", "easy"],
)
def test_every_start_is_that_of_a_simulator_without_indexes(setting, policy, choose):
    jobs = submissions(setting)
    run = simulate(jobs, setting.inventory, policy)
    assert offered_load(jobs, setting.inventory) == pytest.approx(setting.load)
    assert mean_queue(run) > 5
    starts = [(p.job_id, p.gpu_type, p.start_s) for p in run.placements]
    assert starts == plain.simulate(jobs, setting.inventory, choose)

"""Clusters as people write them: GPUs by type and node, and what a cluster of nodes then does."""

import json

import pytest

from kilowait.cli.main import main
from kilowait.core.errors import InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.lab.backtest.sample_path import sample_path
from kilowait.policies.simple import simple
from kilowait.simulate.inventory import parse_nodes
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Placement, Run, Submission
from kilowait.simulate.scores import score


def test_nodes_are_written_as_counts_times_gpus():
    assert parse_nodes("A100=2x8+4, A6000=30") == {"A100": (8, 8, 4), "A6000": (30,)}


@pytest.mark.parametrize(
    "text", ["A=2x", "A=x8", "A=0x8", "A=2x0", "A=8+", "A=2x2x2", "A=-1", "A", "", "A=999999x1", "A=2*8"]
)
def test_a_part_that_is_no_cluster_is_shown(text):
    with pytest.raises(InputError, match="is not TYPE=N"):
        parse_nodes(text)


def test_a_type_stands_once():
    with pytest.raises(InputError, match="'A' stands twice"):
        parse_nodes("A=1,A=2x1")


def test_nodes_must_add_up_to_the_inventory():
    with pytest.raises(InputError, match="nodes of A have 3 GPUs, the inventory 4"):
        simulate([], {"A": 4}, simple(), nodes={"A": (1, 2)})
    with pytest.raises(InputError, match="nodes of B have 2 GPUs, the inventory 0"):
        simulate([], {"A": 4}, simple(), nodes={"B": (2,)})


@pytest.mark.parametrize("policy", ["simple", "value", "easy", "patient"])
def test_the_command_packs_shares_and_refuses_what_no_node_holds(tmp_path, capsys, policy):
    jobs = tmp_path / "jobs.csv"
    lines = ["job_id,submit_s,gpus,gpu_milli,one_node,A_s,A_kwh"]
    lines += [f"share-{k},0,1,500,,100,0" for k in range(4)]  # two boards, which is a node
    lines += ["pair,0,2,,yes,100,0", "wide,0,3,,yes,100,0"]
    jobs.write_text("\n".join(lines) + "\n")
    assert main(["simulate", "--jobs", str(jobs), "--gpus", "A=2x2", "--policy", policy, "--json"]) == 0
    printed = capsys.readouterr()
    result = json.loads(printed.out)
    assert (result["jobs"], result["total_wait_s"], result["makespan_s"], result["gpus"]) == (5, 0, 100, {"A": 4})
    assert result["refused"] == {
        "wide": "job wide: can never run here: A: needs 3 GPUs of one node, the largest A node has 2"
    }


def run_of(*shares, total=2):
    """Shares of type A that all run from 0 for an hour at 0.1 kWh each."""
    placements = [
        Placement(
            job_id=str(k), attempt=1, gpu_type="A", gpus=1, gpu_milli=milli, submit_s=0, start_s=0, end_s=3600,
            runtime_s=3600, energy_kwh=0.1,
        )
        for k, milli in enumerate(shares)
    ]  # fmt: skip
    return Run(policy="p", inventory={"A": total}, placements=tuple(placements), refused={}, log=())


def test_the_free_part_of_a_shared_board_draws_idle_power():
    # 2 boards, 1.25 of them busy for an hour: 0.75 x 80 W x 1 h = 0.06 kWh of idle energy
    scores = score(run_of(500, 750), idle_power_w={"A": 80.0})
    assert scores.energy_kwh == pytest.approx(0.2)
    assert scores.cluster_energy_kwh == pytest.approx(0.26)


def test_busy_gpus_over_time_count_shares():
    assert sample_path(run_of(500, 750)).busy == {"A": (1.25, 0)}
    assert sample_path(run_of(1000)).busy == {"A": (1, 0)}


def test_on_one_node_asking_for_one_node_changes_nothing():
    truth = {"A": Prediction(runtime_s=5, energy_kwh=1)}
    together = [
        [
            Submission(job=Job(job_id=str(k), submit_s=k, gpus=1 + k % 3, one_node=asks), truth=truth, seen=truth)
            for k in range(9)
        ]
        for asks in (False, True)
    ]
    assert len({simulate(jobs, {"A": 4}, simple()).placements for jobs in together}) == 1

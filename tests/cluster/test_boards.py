"""Where the cluster puts jobs on nodes and boards: packings checked in the head, and what it refuses."""

import pytest

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import AttemptFinished, GpusJoined, JobCancelled, JobPlaced, JobPreempted, JobSubmitted
from kilowait.core.errors import IllegalEvent, InputError
from kilowait.core.jobs import Held, Job, Prediction

SEEN = {t: Prediction(runtime_s=10, energy_kwh=1) for t in "AB"}


def cluster_of(*nodes):
    """Nodes of type A by their GPUs."""
    return replay([GpusJoined(time_s=0.0, node=f"n{k}", gpu_type="A", gpus=gpus) for k, gpus in enumerate(nodes)])


def start(cluster, job_id, gpus=1, **fields):
    """Submit and place a job of type A; returns where it went, as (node, whole GPUs) or (node, "board N")."""
    job = Job(job_id=job_id, submit_s=cluster.now_s, gpus=gpus, **fields)
    advance(cluster, JobSubmitted(time_s=cluster.now_s, job=job, predictions=SEEN))
    advance(cluster, JobPlaced(time_s=cluster.now_s, job_id=job_id, attempt=1, gpu_type="A", gpus=gpus))
    where = cluster.active[job_id].where
    return [(held.node, held.gpus if held.board is None else f"board {held.board}") for held in where]


def end(cluster, job_id):
    advance(cluster, AttemptFinished(time_s=cluster.now_s, job_id=job_id, attempt=1))


class TestPacking:
    def test_two_jobs_of_700_thousandths_never_share_a_board(self):
        cluster = cluster_of(2)
        assert start(cluster, "a", gpu_milli=700) == [("n0", "board 0")]
        assert start(cluster, "b", gpu_milli=700) == [("n0", "board 1")]
        assert cluster.free == {"A": 0}
        with pytest.raises(
            IllegalEvent, match="job c: needs 700 thousandths of one GPU on A, no board has so much left"
        ):
            start(cluster, "c", gpu_milli=700)

    def test_a_share_goes_to_the_fullest_board_that_has_room_for_it(self):
        cluster = cluster_of(4)
        assert start(cluster, "700", gpu_milli=700) == [("n0", "board 0")]  # 300 left
        assert start(cluster, "400", gpu_milli=400) == [("n0", "board 1")]  # 600 left
        assert start(cluster, "300", gpu_milli=300) == [("n0", "board 0")]  # 0 left there
        assert start(cluster, "another 300", gpu_milli=300) == [("n0", "board 1")]  # 300 left there
        assert cluster.free == {"A": 2}

    def test_a_board_is_whole_again_when_its_last_share_ends_and_its_number_is_free(self):
        cluster = cluster_of(1)
        start(cluster, "a", gpu_milli=500)
        start(cluster, "b", gpu_milli=500)
        end(cluster, "a")
        assert cluster.free == {"A": 0}
        end(cluster, "b")
        assert cluster.free == {"A": 1}
        assert start(cluster, "c", gpu_milli=1) == [("n0", "board 0")]

    def test_whole_boards_come_from_the_node_with_the_fewest_free_that_suffices(self):
        cluster = cluster_of(8, 4, 2)
        assert start(cluster, "three", 3) == [("n1", 3)]
        assert start(cluster, "one", 1) == [("n1", 1)]
        assert start(cluster, "two", 2) == [("n2", 2)]
        assert start(cluster, "five", 5) == [("n0", 5)]

    def test_a_job_that_fits_on_no_node_empties_the_freest_and_the_rest_fits_best(self):
        cluster = cluster_of(2, 4, 3)
        assert start(cluster, "six", 6) == [("n1", 4), ("n0", 2)]
        assert cluster.free == {"A": 3}

    def test_a_share_opens_a_board_on_the_node_with_the_fewest_free(self):
        assert start(cluster_of(4, 2), "share", gpu_milli=100) == [("n1", "board 0")]

    def test_a_job_of_one_node_waits_though_enough_is_free_on_two(self):
        cluster = cluster_of(2, 2)
        start(cluster, "three", 3)
        start(cluster, "last", 1)
        end(cluster, "three")
        assert cluster.free == {"A": 3}
        assert start(cluster, "y", 2, one_node=True) == [("n0", 2)]
        with pytest.raises(IllegalEvent, match="job w: needs 2 GPUs of one node on A, 1 are free"):
            start(cluster, "w", 2, one_node=True)

    def test_the_driver_may_say_where_and_is_held_to_what_is_free(self):
        cluster = cluster_of(2, 2)
        job = Job(job_id="j", submit_s=0, gpus=2)
        advance(cluster, JobSubmitted(time_s=0.0, job=job, predictions=SEEN))

        def at(*where):
            return JobPlaced(time_s=0.0, job_id="j", attempt=1, gpu_type="A", gpus=2, where=where)

        before = cluster.snapshot()
        for wrong in (
            [Held(node="n1", gpus=3)],
            [Held(node="n1")],
            [Held(node="n9", gpus=2)],
            [Held(node="n1"), Held(node="n1")],
            [Held(node="n0"), Held(node="n1", board=0)],
        ):
            with pytest.raises(IllegalEvent, match="job j: cannot have"):
                advance(cluster, at(*wrong))
            assert cluster.snapshot() == before
        advance(cluster, at(Held(node="n1", gpus=2)))
        assert cluster.active["j"].where == (Held(node="n1", gpus=2),)
        assert start(cluster, "k", 2) == [("n0", 2)]

    def test_boards_that_were_taken_before_they_were_told_apart_are_on_the_first_node(self):
        cluster = cluster_of(3)
        assert start(cluster, "early", 2) == []  # one node, no shares: nothing to tell apart
        advance(cluster, GpusJoined(time_s=0.0, node="later", gpu_type="A", gpus=2))
        assert cluster.active["early"].where == (Held(node="n0", gpus=2),)
        assert start(cluster, "pair", 2, one_node=True) == [("later", 2)]
        assert start(cluster, "single", gpu_milli=10) == [("n0", "board 0")]
        end(cluster, "early")
        assert start(cluster, "again", 2, one_node=True) == [("n0", 2)]

    def test_cancelling_and_preempting_give_the_share_back(self):
        cluster = cluster_of(1)
        start(cluster, "a", gpu_milli=600, checkpoint_s=1.0)
        start(cluster, "b", gpu_milli=400)
        advance(cluster, JobPreempted(time_s=1.0, job_id="a", attempt=1, remaining=0.5))
        assert start(cluster, "c", gpu_milli=500) == [("n0", "board 0")]
        advance(cluster, JobCancelled(time_s=2.0, job_id="c"))
        advance(cluster, JobCancelled(time_s=2.0, job_id="b"))
        assert cluster.free == {"A": 1}


class TestRefusal:
    def refusal(self, nodes, **fields):
        job = Job(job_id="j", submit_s=0, **fields)
        cluster = replay(
            [GpusJoined(time_s=0.0, node=f"n{k}", gpu_type="A100", gpus=gpus) for k, gpus in enumerate(nodes)]
        )
        return cluster.refusal(job, {"A100": SEEN["A"]})

    def test_names_the_node_that_is_too_small(self):
        expected = "A100: needs 8 GPUs of one node, the largest A100 node has 4"
        assert self.refusal([4, 4, 2], gpus=8, one_node=True) == expected
        assert self.refusal([4, 4, 2], gpus=8) is None
        assert self.refusal([4, 4, 2], gpus=4, one_node=True) is None

    def test_names_the_cluster_where_all_nodes_together_are_too_small(self):
        assert self.refusal([4, 4], gpus=9, one_node=True) == "A100: needs 9 GPUs, the cluster has 8"

    @pytest.mark.parametrize("milli", [0, -1, 1001])
    def test_a_share_lies_between_nothing_and_a_board(self, milli):
        with pytest.raises(InputError, match=f"job j: gpu_milli must be from 1 to 1000, got {milli}"):
            Job(job_id="j", submit_s=0, gpu_milli=milli)

    def test_a_share_is_of_one_gpu_on_every_type(self):
        with pytest.raises(InputError, match="job j: gpu_milli 500 is of one GPU, but gpus is 2"):
            Job(job_id="j", submit_s=0, gpu_milli=500, gpus=2)
        with pytest.raises(InputError, match="job j: gpu_milli 500 is of one GPU, but A is 3"):
            Job(job_id="j", submit_s=0, gpu_milli=500, gpus_by_type={"A": 3})

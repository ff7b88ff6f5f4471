"""Preemption: what the event keeps and refuses, what an attempt costs, and where a restart's cost is told."""

from functools import partial

import pytest

from kilowait.cluster.advance import advance, replay
from kilowait.cluster.events import AttemptFailed, GpusJoined, JobPlaced, JobPreempted, JobSubmitted
from kilowait.core.errors import IllegalEvent, InputError
from kilowait.core.jobs import Job, Prediction
from kilowait.lab.backtest.backtest import World
from kilowait.lab.backtest.sample_path import sample_path
from kilowait.lab.backtest.traces import read_trace
from kilowait.lab.backtest.traces.trace_world import trace_world
from kilowait.policies import Place, Preempt
from kilowait.policies.choices import predicted_runtime
from kilowait.policies.srpt import srpt
from kilowait.simulate.jobs_csv import read_jobs
from kilowait.simulate.loop import simulate
from kilowait.simulate.scores import score
from tests.support import timelines

job = partial(timelines.job, checkpoint_s=0.0)


def scripted(*rounds):
    """A policy that carries out one list of decisions after another."""
    script = iter(rounds)
    return lambda cluster: next(script, [])


def place(job_id, gpu_type="A"):
    return Place(job_id=job_id, gpu_type=gpu_type)


class TestTheEvent:
    def cluster(self, **fields):
        what = Job(job_id="j", submit_s=0.0, **({"checkpoint_s": 5.0} | fields))
        seen = {"A": Prediction(runtime_s=100, energy_kwh=4, runtime_low_s=80, runtime_high_s=150,
                                energy_low_kwh=2, energy_high_kwh=8)}  # fmt: skip
        other = Job(job_id="later", submit_s=1.0)
        return replay([
            GpusJoined(time_s=0.0, node="n", gpu_type="A", gpus=2),
            JobSubmitted(time_s=0.0, job=what, predictions=seen),
            JobPlaced(time_s=0.0, job_id="j", attempt=1, gpu_type="A", gpus=1),
            JobSubmitted(time_s=1.0, job=other, predictions=seen),
        ])  # fmt: skip

    def preempt(self, cluster, remaining, attempt=1, time_s=30.0):
        advance(cluster, JobPreempted(time_s=time_s, job_id="j", attempt=attempt, remaining=remaining))

    def test_the_job_waits_at_its_old_place_with_the_rest_of_its_work(self):
        cluster = self.cluster()
        self.preempt(cluster, 0.75)
        assert [w.job.job_id for w in cluster.queue()] == ["j", "later"]
        waiting = cluster.waiting["j"]
        assert (waiting.attempt, waiting.remaining, cluster.free) == (2, 0.75, {"A": 2})
        # 5 s of restarting and 75 s of work at 4 kWh a 100 s
        assert waiting.predictions == {
            "A": Prediction(runtime_s=80, energy_kwh=3.2, runtime_low_s=65, runtime_high_s=117.5,
                            energy_low_kwh=1.6, energy_high_kwh=6.4)
        }  # fmt: skip
        assert waiting.whole["A"].runtime_s == 100

    def test_a_ranking_goes_by_the_rest(self):
        cluster = self.cluster()
        ranking = cluster.ranked(predicted_runtime)
        self.preempt(cluster, 0.25)
        assert list(ranking) == [("j", "A"), ("later", "A")]

    def test_a_second_preemption_takes_its_share_of_the_whole_job(self):
        cluster = self.cluster()
        self.preempt(cluster, 0.75)
        advance(cluster, JobPlaced(time_s=40.0, job_id="j", attempt=2, gpu_type="A", gpus=1))
        assert cluster.predicted_ends()["A"][-1] == (120.0, 1000)  # thousandths of GPUs
        self.preempt(cluster, 0.5, attempt=2, time_s=70.0)
        assert cluster.waiting["j"].predictions["A"].runtime_s == 55

    def test_without_progress_there_is_nothing_to_restart_from(self):
        preempted, failed = self.cluster(), self.cluster()
        self.preempt(preempted, 1.0)
        advance(failed, AttemptFailed(time_s=30.0, job_id="j", attempt=1, reason="killed"))
        for cluster in (preempted, failed):
            waiting = cluster.waiting["j"]
            assert (waiting.remaining, waiting.predictions["A"].runtime_s) == (1.0, 100)

    def test_a_failure_falls_back_to_the_last_checkpoint(self):
        cluster = self.cluster()
        self.preempt(cluster, 0.75)
        advance(cluster, JobPlaced(time_s=40.0, job_id="j", attempt=2, gpu_type="A", gpus=1))
        advance(cluster, AttemptFailed(time_s=60.0, job_id="j", attempt=2, reason="killed"))
        waiting = cluster.waiting["j"]
        assert (waiting.attempt, waiting.remaining, waiting.predictions["A"].runtime_s) == (3, 0.75, 80)

    @pytest.mark.parametrize(
        ("fields", "remaining", "attempt", "problem"),
        [
            ({}, 0.0, 1, "job j: remaining must be > 0 and <= 1.0, got 0.0"),
            ({}, 1.5, 1, "got 1.5"),
            ({}, float("nan"), 1, "got nan"),
            ({}, 0.5, 2, "attempt 1 runs, got the end of 2"),
            ({"checkpoint_s": None}, 0.5, 1, "job j: preempted, but it cannot go on from a checkpoint"),
        ],
    )
    def test_what_cannot_be_is_refused_and_changes_nothing(self, fields, remaining, attempt, problem):
        cluster = self.cluster(**fields)
        before = cluster.snapshot()
        with pytest.raises(IllegalEvent, match=problem):
            self.preempt(cluster, remaining, attempt)
        assert cluster.snapshot() == before

    def test_a_job_that_waits_cannot_be_preempted(self):
        cluster = self.cluster()
        event = JobPreempted(time_s=2.0, job_id="later", attempt=1, remaining=0.5)
        with pytest.raises(IllegalEvent, match="job later: attempt 1 ended, but the job does not run"):
            advance(cluster, event)

    def test_a_checkpoint_takes_no_negative_time(self):
        with pytest.raises(InputError, match=r"job j: checkpoint_s must be finite and >= 0, got -1"):
            Job(job_id="j", submit_s=0, checkpoint_s=-1)


class TestTheLoop:
    def test_every_attempt_has_its_seconds_and_its_energy(self):
        """`long` works 4 of 10 s, waits 2 s, restarts for 3 s and works the other 6: 13 s at 1 kWh a second."""
        jobs = [job("long", A=(10, 10), checkpoint_s=3), job("short", 4, A=(2, 1))]
        policy = scripted([place("long")], [Preempt(job_id="long"), place("short")], [place("long")])
        run = simulate(jobs, {"A": 1}, policy)
        assert [(p.job_id, p.attempt, p.start_s, p.end_s, p.runtime_s, p.energy_kwh) for p in run.placements] == [
            ("long", 1, 0, 4, 4, 4),
            ("short", 1, 4, 6, 2, 1),
            ("long", 2, 6, 15, 9, 9),
        ]
        scores = score(run, idle_power_w={"A": 0.0})
        assert (scores.jobs, scores.total_wait_s, scores.delayed_tasks, scores.max_wait_s) == (2, 2, 1, 2)
        assert (scores.running_s, scores.energy_kwh, scores.makespan_s) == (15, 14, 15)

    def test_the_path_shows_a_preempted_job_in_the_queue(self):
        jobs = [job("long", A=(10, 10), checkpoint_s=3), job("short", 4, A=(2, 1))]
        policy = scripted([place("long")], [Preempt(job_id="long"), place("short")], [place("long")])
        path = sample_path(simulate(jobs, {"A": 1}, policy))
        assert (path.time_s, path.queued, path.busy) == ((0, 4, 6, 15), (0, 1, 0, 0), {"A": (1, 1, 1, 0)})

    def test_a_preemption_while_restarting_loses_the_restart_and_no_work(self):
        jobs = [job("long", A=(10, 10), checkpoint_s=3), job("x", 5, A=(1, 0)), job("y", 7, A=(1, 0))]
        swap = [Preempt(job_id="long")]
        policy = scripted([place("long")], [*swap, place("x")], [place("long")], [*swap, place("y")], [place("long")])
        run = simulate(jobs, {"A": 1}, policy)
        assert [(p.start_s, p.end_s) for p in run.placements if p.job_id == "long"] == [(0, 5), (6, 7), (8, 16)]
        assert score(run, idle_power_w={"A": 0.0}).total_wait_s == 2

    def test_preempting_and_placing_in_one_round_is_a_migration(self):
        """40% done on A; B takes twice as long, 12 s of 20, and 2 s of restarting; 1 kWh of 2 in 20 s."""
        jobs = [job("j", A=(10, 4), B=(20, 2), checkpoint_s=2), job("event", 4, A=(1, 1))]
        policy = scripted([place("j")], [Preempt(job_id="j"), place("j", "B"), place("event")])
        run = simulate(jobs, {"A": 1, "B": 1}, policy)
        first, second, _ = run.placements
        assert (first.gpu_type, first.end_s, first.energy_kwh) == ("A", 4, pytest.approx(1.6))
        assert (second.gpu_type, second.start_s, second.end_s) == ("B", 4, pytest.approx(18))
        assert second.energy_kwh == pytest.approx(1.4)
        assert score(run, idle_power_w={"A": 0.0, "B": 0.0}).total_wait_s == 0

    @pytest.mark.parametrize("job_id", ["waits", "ghost"])
    def test_preempting_what_does_not_run_is_refused(self, job_id):
        with pytest.raises(IllegalEvent, match=f"job {job_id}: the policy preempts it, but it does not run"):
            simulate([job("waits", A=(1, 1))], {"A": 1}, scripted([Preempt(job_id=job_id)]))


def test_the_jobs_file_may_say_what_a_restart_costs(tmp_path):
    path = tmp_path / "jobs.csv"
    path.write_text("job_id,submit_s,gpus,A_s,A_kwh,checkpoint_s\na,0,1,9,1,30\nb,0,1,9,1,\n")
    assert [row.job.checkpoint_s for row in read_jobs(path, ("A",)).values()] == [30, None]
    path.write_text("job_id,submit_s,gpus,A_s,A_kwh,checkpoint_s\na,0,1,9,1,-3\n")
    with pytest.raises(InputError, match="line 2, column checkpoint_s: must be a finite number >= 0, got '-3'"):
        read_jobs(path, ("A",))
    with pytest.raises(InputError, match="no GPU type can be called 'checkpoint'"):
        read_jobs(path, ("checkpoint",))


def test_a_world_may_let_every_job_be_preempted():
    world = World(classes="calibrated", seed=1, checkpoint_s=45.0)
    plain = World(classes="calibrated", seed=1).sample(0)
    assert {s.job.checkpoint_s for s in world.sample(0).submissions} == {45.0}
    assert {s.job.checkpoint_s for s in plain.submissions} == {None}
    assert [s.truth for s in world.sample(0).submissions] == [s.truth for s in plain.submissions]
    run = simulate(world.sample(0).submissions, plain.inventory, srpt())
    assert len({p.job_id for p in run.placements}) == len(plain.submissions) < len(run.placements)


def test_a_trace_may_let_every_job_be_preempted(tmp_path):
    path = tmp_path / "trace.csv"
    path.write_text("job_id,submit_s,gpus,duration_s\na,0,1,50\nb,60,1,50\n")
    world = trace_world(
        read_trace(path, "generic"), {"A100": 1}, load=1, samples=1, seed=0, window_jobs=2, checkpoint_s=7.0
    )
    assert {s.job.checkpoint_s for s in world.sample(0).submissions} == {7.0}

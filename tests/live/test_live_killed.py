"""The controller is killed at any statement of any operation: no accepted job is lost, none runs twice."""

import contextlib
import gc
import shutil
import tempfile
from collections import Counter

import pytest
import sqlalchemy
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from kilowait.cluster.advance import replay
from kilowait.cluster.events import JobPlaced
from kilowait.core.errors import JobRefused, StaleAttempt, StoreError
from kilowait.core.submission import Ending, Retry
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.live.saving import save
from kilowait.policies.sjf import sjf
from tests.support.examples import examples
from tests.support.live_world import request, seen
from tests.support.whole_cluster import everything


class Killed(BaseException):
    """What a kill -9 is to the code it hits: nothing catches it."""


DISK = sqlalchemy.exc.OperationalError("a statement", None, Exception("disk I/O error"))


class LiveMachine(RuleBasedStateMachine):
    """Clients, runners and nodes as the world outside remembers them; the controller may die at any statement.

    `alive` are programs that run: (job, attempt, token) with the nodes they are on. A runner starts its program only
    after `attempt_started` returned, and dies with its node.
    """

    def __init__(self):
        super().__init__()
        self.folder = tempfile.mkdtemp(prefix="kilowait-test-")
        self.time_s, self.statements_left, self.serial = 0.0, None, 0
        self.accepted, self.alive, self.completed, self.nodes = set(), {}, Counter(), {}
        self.past = set()
        self.store = self.live = None

    def teardown(self):
        self.store.close()
        shutil.rmtree(self.folder)

    @initialize()
    def begin(self):
        self._open()
        self._add_node("A", 2)
        self._add_node("B", 3)

    def _open(self):
        if self.store is not None:
            self.store.close()
        self.store = Store(f"{self.folder}/k.db")
        self.live = Controller(self.store, sjf(), order=("A", "B"))

        def count(*_):
            if self.statements_left is not None:
                self.statements_left -= 1
                if self.statements_left < 0:
                    raise self.fault

        for moment in ("before_cursor_execute", "after_cursor_execute", "commit"):
            sqlalchemy.event.listen(self.store._engine, moment, count)

    def _do(self, word, kill):
        """Say a word to the controller; None where it failed.

        It is killed over it, and a new one recovers, or the disk fails under it, and it goes on.
        """
        self.time_s += 1.0
        self.statements_left, self.fault = kill or (None, Killed)
        try:
            return word(self.time_s)
        except StoreError:
            return None
        except Killed:
            pass
        finally:
            self.statements_left = None
        gc.collect()  # a dead process holds nothing of the database, as frames here may
        self._open()
        return None

    KILL = st.one_of(st.none(), st.tuples(st.integers(0, 30), st.sampled_from([Killed, DISK])))

    @rule(kill=KILL, gpus=st.integers(1, 4), key=st.integers(0, 6))
    def submit(self, kill, gpus, key):
        asked = request(
            f"k{key}-{gpus}",
            gpus=gpus,
            retry=Retry(max_attempts=2, exit_codes=(1,)),
            predictions=seen(A=(5, 1), B=(9, 1)),
        )
        with contextlib.suppress(JobRefused):
            job_id = self._do(lambda now_s: self.live.submit(asked, now_s), kill)
            if job_id is not None:
                self.accepted.add(job_id)

    @rule(kill=KILL)
    def decide(self, kill):
        self._do(self.live.decide, kill)

    @rule(kill=KILL)
    def start_what_was_placed(self, kill):
        for attempt in self.live.all_running():
            who = attempt.job_id, attempt.attempt, attempt.token
            if attempt.started or who in self.alive:
                continue
            self._do(lambda now_s, who=who: [self.live.attempt_started(*who, now_s)], kill)
            # Whether or not the answer was heard: a runner whose leave was kept is told to run after a recovery.
            now = {(a.job_id, a.attempt, a.token): a for a in self.live.all_running()}
            if now[who].started:
                assert not any(job == who[0] for job, _, _ in self.alive), "two attempts of one job are alive"
                self.alive[who] = {held.node for held in attempt.where}

    @precondition(lambda self: self.alive)
    @rule(kill=KILL, pick=st.integers(0, 99), code=st.sampled_from([0, 0, 1, 2]), asks=st.integers(1, 2))
    def end_a_program(self, kill, pick, code, asks):
        who = sorted(self.alive)[pick % len(self.alive)]
        del self.alive[who]
        self.completed[who[0]] += code == 0
        ending = Ending(exit_code=code, reason=None if code == 0 else f"exit code {code}")
        for _ in range(asks):  # a runner that heard no answer says it again
            with contextlib.suppress(StaleAttempt):
                self._do(lambda now_s: [self.live.attempt_finished(*who, ending, now_s)], kill)
        with contextlib.suppress(StaleAttempt):
            self.live.attempt_finished(*who, ending, self.time_s)
        self.past.add(who)

    @precondition(lambda self: self.past)
    @rule(pick=st.integers(0, 99), code=st.integers(0, 1))
    def a_runner_of_the_past_speaks(self, pick, code):
        who = sorted(self.past)[pick % len(self.past)]
        with pytest.raises(StaleAttempt):
            self.live.attempt_finished(*who, Ending(exit_code=code), self.time_s)
        with pytest.raises(StaleAttempt):
            self.live.attempt_started(*who, self.time_s)

    @rule(kill=KILL, pick=st.integers(0, 99))
    def lose_a_node(self, kill, pick):
        if not self.nodes:
            return
        node = sorted(self.nodes)[pick % len(self.nodes)]
        del self.nodes[node]
        self.past |= {who for who, on in self.alive.items() if node in on}
        self.alive = {who: on for who, on in self.alive.items() if node not in on}
        if self._do(lambda now_s: self.live.node_lost(node, "lost", now_s), kill) is None:
            known = {name for name, _ in self.live.cluster.nodes} | self.live.cluster.draining
            if node in known:  # as after a restart: what Ray does not show is lost
                self.live.node_lost(node, "lost", self.time_s)
        placed = {(a.job_id, a.attempt, a.token) for a in self.live.all_running()}
        self.alive = {who: on for who, on in self.alive.items() if who in placed}  # other ranks of a gang are killed

    @rule(kill=KILL, pick=st.integers(0, 99))
    def drain_a_node(self, kill, pick):
        open_nodes = sorted(name for name, _ in self.live.cluster.nodes)
        if open_nodes:
            self._do(lambda now_s: self.live.node_drained(open_nodes[pick % len(open_nodes)], now_s), kill)

    @rule(kill=KILL, pick=st.integers(0, 99))
    def undrain_a_node(self, kill, pick):
        if draining := sorted(self.live.cluster.draining):
            self._do(lambda now_s: self.live.node_undrained(draining[pick % len(draining)], now_s), kill)

    @rule(gpu_type=st.sampled_from("AB"), gpus=st.integers(1, 4))
    def add_a_node(self, gpu_type, gpus):
        self._add_node(gpu_type, gpus)

    def _add_node(self, gpu_type, gpus):
        self.serial += 1
        self.nodes[f"n{self.serial}"] = gpus
        self.live.node_joined(f"n{self.serial}", gpu_type, gpus, self.time_s)

    @rule(kill=KILL, pick=st.integers(0, 99))
    def cancel(self, kill, pick):
        over = self.live.cluster.over
        open_jobs = sorted(self.accepted - over)
        if open_jobs:
            self._do(lambda now_s: [self.live.cancel(open_jobs[pick % len(open_jobs)], now_s)], kill)

    @rule()
    def kill_between_two_words(self):
        self._open()

    @rule()
    def save_the_state(self):
        """From now on a restart goes by it."""
        save(self.store, "sjf", {}, ("A", "B"), self.time_s)

    @invariant()
    def no_accepted_job_is_lost(self):
        cluster = self.live.cluster
        where = Counter([*cluster.waiting, *cluster.stranded, *cluster.active, *cluster.over])
        assert all(where[job_id] == 1 for job_id in self.accepted)
        rows = {row["job_id"]: row["state"] for row in self.store.jobs(limit=10_000)}
        assert set(rows) == set(where) >= self.accepted
        for job_id, state in rows.items():
            assert (state == "running") == (job_id in cluster.active)
            assert (state in ("finished", "failed", "cancelled")) == (job_id in cluster.over)

    @invariant()
    def none_runs_twice(self):
        assert all(times <= 1 for times in self.completed.values())
        assert all(times == 1 for times in Counter(job for job, _, _ in self.alive).values())
        started = {(a.job_id, a.attempt, a.token): a.started for a in self.live.all_running()}
        assert all(started[who] for who in self.alive)
        for job_id, times in self.completed.items():
            ended_well = [a for a in self.store.attempts(job_id) if a["exit_code"] == 0]
            assert len(ended_well) == times

    @invariant()
    def the_log_replays_to_the_same_state_and_placements(self):
        events = [event for _, event in self.store.events()]
        cluster = replay(events, ("A", "B"))
        assert list(cluster.queue()) == list(self.live.cluster.queue())
        assert everything(cluster, but={"now_s"}) == everything(self.live.cluster, but={"now_s"})
        placed = [(seq, e.job_id, e.attempt) for seq, e in self.store.events() if isinstance(e, JobPlaced)]
        kept = [(a["token"], a["job_id"], a["attempt"]) for job in self.store.jobs(limit=10_000)
                for a in self.store.attempts(job["job_id"])]  # fmt: skip
        assert sorted(kept) == placed


LiveMachine.TestCase.settings = settings(max_examples=examples(20), stateful_step_count=20)
TestKilledAnywhere = LiveMachine.TestCase

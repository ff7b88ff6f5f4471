"""The live driver of the state machine: one controller owns the cluster, its policy and the durable history.

It knows no clock and no processes: whoever runs jobs hands in times and what happened, and gets back what to start. An
event is on disk before anybody hears of its effect. When a write fails the log is replayed before anything else.

How nothing is lost and nothing runs twice: a job is accepted once its event is committed. Each placement is a numbered
attempt whose fencing token is the number of its event, so tokens only grow. A runner asks `attempt_started` before it
starts the program, and is refused unless its attempt is the one that holds the GPUs; a result with another token is
refused too. An attempt ends by one event, which frees its GPUs, preempted or not; only then is a next one placed.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from kilowait.cluster.advance import advance
from kilowait.cluster.events import (
    Event,
    GpusHeld,
    GpusJoined,
    JobCancelled,
    NodeDrained,
    NodeLost,
    NodeUndrained,
    SignalReported,
)
from kilowait.cluster.standing import Postponed
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError, StaleAttempt
from kilowait.core.hardware import GPU_TYPES
from kilowait.core.jobs import Prediction
from kilowait.core.over_time.amounts import Amount
from kilowait.core.over_time.signals import Signal
from kilowait.core.submission import Attempt, Ending, Request, printable
from kilowait.core.tasks.array_request import ArrayRequest
from kilowait.history.lease import Claim
from kilowait.history.schema import LATE_PREDICTIONS
from kilowait.history.spent.attempt_amounts import make_tables
from kilowait.history.store import Store
from kilowait.history.writing import Writing
from kilowait.live.accepting import Array, earlier_array, take_array, take_jobs
from kilowait.live.cancelling import over_before
from kilowait.live.deciding import DecidingCopy, held_to, is_possible, limit_events, placed_event
from kilowait.live.ending_attempts import end_events, readable
from kilowait.live.event_times import EventTimes
from kilowait.live.late import late_event
from kilowait.live.operator_orders.order_events import Order, order_event
from kilowait.live.parents import make_ready, with_given_up
from kilowait.live.postponing import postponements
from kilowait.live.progress_seen import progress_event
from kilowait.live.recovery import recovered
from kilowait.live.running_attempt import running_attempt
from kilowait.live.spending import spent
from kilowait.measure.step_clock import StepRecord
from kilowait.policies import Decision, Place, Policy, Preempt, SetLimit


class Controller:
    """Made from a store, empty or not: a new controller stands where the last one was when it was killed.

    It takes the store over, so an earlier one is refused from then on; with a claim it raises Occupied while another
    cluster has the lease. Times are seconds since the epoch, moved behind the last event where they are before it.
    Methods raise StoreError when the history cannot be written, and then nothing has happened.
    """

    def __init__(
        self, store: Store, policy: Policy, *, order: Sequence[str] | None = None, claim: Claim | None = None
    ) -> None:
        self.store, self.policy, self._order = store, held_to(policy), tuple(GPU_TYPES if order is None else order)
        self._times, self.deciding = EventTimes(), DecidingCopy(self.policy)
        self.store.take_over(claim)
        self._recover()

    def _recover(self) -> None:
        self._cluster, self._seq, self._tokens = recovered(self.store, self._order)
        self.deciding.forget()
        self._started, self._cancelling, self._torn = self.store.started(), self.store.cancelling(), False

    @property
    def cluster(self) -> Cluster:
        """What the committed events lead to."""
        if self._torn:
            self._recover()
        return self._cluster

    def submit(self, request: Request, now_s: float) -> str:
        """Accept a job; returns its id, the same for the same owner and key. Raises JobRefused for one that can never
        run here, InputError for a mistake in it or a key used for another."""
        (answer,) = self.submit_all([request], now_s)
        if isinstance(answer, InputError):
            raise answer
        return answer

    def submit_all(self, requests: Sequence[Request], now_s: float) -> list[str | InputError]:
        """As `submit` for each, in one transaction; what it would raise stands in the place of an id."""
        make_ready(self.store, requests)
        with self._writing() as writing:
            return take_jobs(writing, requests, self._time(now_s), self._cluster, self._take_in)

    def submit_array(self, asked: ArrayRequest, now_s: float) -> Array:
        """Accept a job array, whole or not at all; returns its id and those of its tasks, the same for the same owner
        and key. Raises as `submit`."""
        request_hash, earlier = earlier_array(self.store, asked)
        if earlier is not None:
            return earlier
        with self._writing() as writing:
            return take_array(writing, asked, request_hash, self._time(now_s), self._cluster, self._take_in)

    def predicted(
        self, job_id: str, by_type: Mapping[str, Prediction], problem: str | None, now_s: float, dry_run: str = ""
    ) -> None:
        """The prediction is there for which a job was submitted with a guess, or a problem why there is none; raises
        InputError for what cannot be kept, IllegalEvent for an unknown job and where the guess knew more types."""
        event = late_event(self.cluster, job_id, by_type, problem, self._time(now_s), dry_run)
        if event is not None:
            self.store.ensure(LATE_PREDICTIONS)
            self._happened(event)

    def cancel(self, job_id: str, now_s: float) -> Attempt | None:
        """As `cancel_all` for one job, whose attempt is returned if it runs; raises InputError for another."""
        (outcome,) = self.cancel_all([job_id], now_s).values()
        if isinstance(outcome, InputError):
            raise outcome
        return outcome

    def cancel_all(self, job_ids: Sequence[str], now_s: float) -> dict[str, Attempt | InputError | None]:
        """Withdraw jobs in one transaction, those that wait at once; of one that runs its attempt is returned, which
        the caller ends, and of another why nothing is left to do. Asking again is allowed."""
        outcomes, ending = dict[str, Attempt | InputError | None](), list[str]()
        with self._writing() as writing:
            for job_id in sorted(set(job_ids), reverse=True):  # before those after which they run
                if job_id in self._cluster.active:
                    if job_id not in self._cancelling:
                        writing.ask_to_cancel(job_id, now_s)
                    ending.append(job_id)
                elif self._cluster.entry(job_id) is not None:
                    self._take_in(writing, JobCancelled(time_s=self._time(now_s), job_id=job_id))
                    outcomes[job_id] = None
                else:
                    outcomes[job_id] = over_before(self.store, job_id)
        self._cancelling.update(ending)
        return outcomes | {job_id: self.running(job_id) for job_id in ending}

    def node_joined(self, node: str, gpu_type: str, gpus: int, now_s: float, memory_bytes: int | None = None) -> None:
        """Boards of one type on one node are there to be used; raises IllegalEvent if they are already."""
        time_s = self._time(now_s)
        self._happened(GpusJoined(time_s=time_s, node=node, gpu_type=gpu_type, gpus=gpus, memory_bytes=memory_bytes))

    def gpus_held(self, node: str, gpu_type: str, gpus: int, now_s: float) -> None:
        """Others hold so many boards of a node; more than are free count as all that are."""
        held = self.cluster.held.get((node, gpu_type), 0)
        gpus = min(gpus, held + self.cluster.free_on(node, gpu_type))
        if gpus != held:
            self._happened(GpusHeld(time_s=self._time(now_s), node=node, gpu_type=gpu_type, gpus=gpus))

    def node_drained(self, node: str, now_s: float) -> None:
        """A node takes no new jobs; raises IllegalEvent for one that is not here."""
        self._happened(NodeDrained(time_s=self._time(now_s), node=node))

    def node_undrained(self, node: str, now_s: float) -> None:
        """A node that drained takes jobs again; raises IllegalEvent for one that does not drain."""
        self._happened(NodeUndrained(time_s=self._time(now_s), node=node))

    def ordered(self, order: Order, now_s: float) -> None:
        """An order of an operator's holds from now on; raises InputError, and IllegalEvent for a node not here."""
        self._happened(order_event(order, self._time(now_s)))

    def node_lost(self, node: str, reason: str, now_s: float) -> list[Attempt]:
        """A node is gone, and with it the attempts on it, which are returned; raises IllegalEvent if it is not here."""
        cluster, time_s = self.cluster, self._time(now_s)
        attempts = [self.running(job_id) for job_id, one in cluster.active.items() if cluster.runs_on(one, node)]
        with self._writing() as writing:
            for attempt in attempts:
                self._end(writing, attempt, Ending(reason=printable(reason), lost=True), time_s)
            self._take_in(writing, NodeLost(time_s=time_s, node=node))
        self._forget(attempts)
        return attempts

    def attempt_started(self, job_id: str, attempt: int, token: int, now_s: float) -> None:
        """Leave to start the program; raises StaleAttempt unless this attempt is the one that holds the GPUs."""
        self._check(job_id, attempt, token)
        if job_id not in self._started:
            with self._writing() as writing:
                writing.start(job_id, attempt, self._time(now_s))
            self._started.add(job_id)

    def attempt_finished(self, job_id: str, attempt: int, token: int, ending: Ending, now_s: float) -> None:
        """An attempt is over, well or badly; raises StaleAttempt, and keeps nothing, unless it held the GPUs."""
        running, ending = self._check(job_id, attempt, token), readable(ending)
        amounts = spent(self.store, self._cluster, ending, now_s)
        with self._writing() as writing:
            self._end(writing, running, ending, self._time(now_s), *amounts)
        self._forget([running])

    def progressed(self, job_id: str, attempt: int, token: int, record: StepRecord, now_s: float) -> bool:
        """Take in how far an attempt is; returns whether that is news. Raises StaleAttempt unless it holds the GPUs."""
        self._check(job_id, attempt, token)
        if (event := progress_event(self._cluster.active[job_id], record, self._time(now_s))) is not None:
            self._happened(event)
        return event is not None

    def signal_reported(self, signal: Signal, now_s: float) -> None:
        """From now on this is what is known and foreseen of a signal."""
        make_tables(self.store)
        with self._writing() as writing:
            self._take_in(writing, event := SignalReported(time_s=self._time(now_s), signal=signal))
            writing.add_report(event)

    def at(self, now_s: float) -> Cluster:
        """The cluster at this time, which policies look at; time that passes is no event."""
        self.cluster.now_s = self._time(now_s)
        return self._cluster

    def decide(self, now_s: float) -> list[Attempt]:
        """Ask the policy once, and commit what it places and keeps; returns the attempts to start."""
        before = dict(self.at(now_s).kept)
        decisions = self.policy(self._cluster)
        decided, self._cluster.kept = self._cluster.kept, before
        return self._carry_out(decisions, decided, late=False)

    def carry_out(self, decisions: Sequence[Decision]) -> list[Attempt]:
        """As `decide` what was decided on `deciding`, and is still possible as of `at`."""
        return self._carry_out(decisions, self.deciding.kept, late=True)

    def _carry_out(self, decisions: Sequence[Decision], kept: Mapping[str, Postponed], *, late: bool) -> list[Attempt]:
        if not decisions and not any(postponements(self.cluster, kept)):
            return []
        placed, leaving = list[str](), self.deciding.leaving
        with self._writing() as writing:
            for decision in decisions:
                if isinstance(decision, Preempt):
                    self.deciding.leaves(self._cluster, decision.job_id)
                elif isinstance(decision, SetLimit):
                    for limit in limit_events(self._cluster, decision):
                        self._take_in(writing, limit)
                elif not (late or leaving) or is_possible(self._cluster, decision):
                    self._place(writing, decision)
                    placed.append(decision.job_id)
            for event in list(postponements(self._cluster, kept)):
                self._take_in(writing, event)
        return [self.running(job_id) for job_id in placed]

    def running(self, job_id: str) -> Attempt:
        """The attempt of a job that holds GPUs; raises KeyError for another job."""
        started, cancelling = job_id in self._started, job_id in self._cancelling
        return running_attempt(self._cluster, job_id, self._tokens[job_id], started=started, cancelling=cancelling)

    def all_running(self) -> list[Attempt]:
        """Every attempt that holds GPUs: what must be running, or start, wherever jobs run."""
        return [self.running(job_id) for job_id in self.cluster.active]

    def _place(self, writing: Writing, decision: Place) -> None:
        event = placed_event(self._cluster, decision)
        self._tokens[event.job_id] = self._take_in(writing, event)
        writing.add_attempt(event, self.running(event.job_id).where)

    def _end(self, writing: Writing, attempt: Attempt, ending: Ending, time_s: float, *amounts: Amount) -> None:
        for event in end_events(self._cluster, attempt, ending, self.store, time_s):
            self._take_in(writing, event)
        writing.add_ending(attempt.job_id, attempt.attempt, ending, amounts)

    def _check(self, job_id: str, attempt: int, token: int) -> Attempt:
        running = self.running(job_id) if job_id in self.cluster.active else None
        if running is None or (running.attempt, running.token) != (attempt, token):
            current = f"attempt {running.attempt} with token {running.token}" if running else "no attempt of it"
            raise StaleAttempt(f"job {job_id}: attempt {attempt} with token {token} is refused; {current} runs")
        return running

    def _forget(self, attempts: Sequence[Attempt]) -> None:
        for job_id in (attempt.job_id for attempt in attempts):
            del self._tokens[job_id]
            self._started.discard(job_id)
            self._cancelling.discard(job_id)

    def _time(self, now_s: float) -> float:
        return self._times.at(now_s, self._cluster.now_s)

    def _happened(self, event: Event) -> None:
        with self._writing() as writing:
            self._take_in(writing, event)

    def _take_in(self, writing: Writing, event: Event) -> int:
        """Advance the cluster, which may refuse, and then write; returns the event's number."""
        numbers = list[int]()
        for one in with_given_up(self._cluster, event):
            advance(self._cluster, one)
            self._torn = True  # until it is committed
            self.deciding.happened(one)
            numbers.append(writing.append(one))
        return numbers[0]

    @contextmanager
    def _writing(self) -> Iterator[Writing]:
        """A transaction; where it fails after the cluster moved, the cluster is replayed before the next."""
        if self._torn:
            self._recover()
        with self.store.writing(self._seq) as writing:
            yield writing
        self._seq, self._torn = writing.last_seq, False

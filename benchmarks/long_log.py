"""A history as long as years of use leave behind, written as the scheduler writes it but for a commit each time.

Jobs of several owners come and go on a cluster that is always full: every job is submitted, placed and ended, some are
cancelled, some fail and run again, nodes drain and come back. The tables of jobs and attempts are written too. What
jobs take is made up; it decides nothing here.
"""

from random import Random

from tqdm import tqdm

from kilowait.cluster.advance import advance
from kilowait.cluster.events import (
    AttemptFailed,
    AttemptFinished,
    Event,
    GpusJoined,
    JobCancelled,
    JobPlaced,
    JobSubmitted,
    NodeDrained,
    NodeUndrained,
)
from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job, Prediction
from kilowait.core.submission import Ending, Program, Request, checked
from kilowait.history.store import Store
from kilowait.history.writing import Writing

TOGETHER = 5_000
"""Events in a transaction."""
GPUS = 8
"""Of a node."""
OWNERS = 50
CANCELLED, FAILED, DRAINED = 0.05, 0.05, 0.0001
"""Shares of the jobs that are cancelled, and that fail once; of the steps in which a node drains and comes back."""
PROGRAM = Program(files={"main.py": "print('hello')\n" * 10}, entrypoint="main.py")


class LongLog:
    """Writes into an empty store: `nodes` nodes in `types` types, a queue of `waiting` jobs once it is full."""

    writing: Writing

    def __init__(self, store: Store, *, types: int, nodes: int, waiting: int) -> None:
        self.store, self._nodes, self._waiting = store, nodes, waiting
        self.order = tuple(f"type-{kind:02d}" for kind in range(types))
        self.cluster = Cluster(order=self.order)
        self._rng, self._time_s, self._running = Random(0), 0.0, list[str]()
        self.seq = self.store.take_over()

    def write(self, events: int) -> None:
        """Write so many events more, or a few beyond that."""
        begin, end = self.seq, self.seq + events
        with tqdm(total=events, desc="writing the log", unit="event") as bar:
            while self.seq < end:
                with self.store.writing(self.seq) as self.writing:
                    if not self.seq:
                        self._join()
                    while self.writing.last_seq < min(self.seq + TOGETHER, end):
                        self._step()
                self.seq = self.writing.last_seq
                bar.update(min(self.seq, end) - begin - bar.n)

    def _join(self) -> None:
        for number in range(self._nodes):
            gpu_type = self.order[number % len(self.order)]
            self._happens(GpusJoined(time_s=0.0, node=f"node-{number}", gpu_type=gpu_type, gpus=GPUS))

    def _step(self) -> None:
        self._time_s += self._rng.expovariate(0.1)
        self._submit()
        if len(self.cluster.waiting) > self._waiting:
            self._end()
        if self._rng.random() < DRAINED:
            node = f"node-{self._rng.randrange(self._nodes)}"
            self._happens(NodeDrained(time_s=self._time_s, node=node))
            self._happens(NodeUndrained(time_s=self._time_s, node=node))
        if self._rng.random() < CANCELLED:
            self._happens(JobCancelled(time_s=self._time_s, job_id=next(iter(self.cluster.waiting))))
        while (waiting := next(self.cluster.queue(), None)) is not None:
            where = {gpu_type: self.cluster.locate(waiting, gpu_type) for gpu_type in waiting.gpus}
            if not (gpu_type := self._rng.choice([name for name, held in where.items() if held] or [""])):
                return
            event = JobPlaced(
                time_s=self._time_s,
                job_id=waiting.job.job_id,
                attempt=waiting.attempt,
                gpu_type=gpu_type,
                gpus=waiting.gpus[gpu_type],
                where=where[gpu_type],
            )
            self._happens(event)
            self.writing.add_attempt(event, event.where)
            self._running.append(event.job_id)

    def _submit(self) -> None:
        predictions = {
            gpu_type: Prediction(runtime_s=runtime_s, energy_kwh=runtime_s * 1e-4, probe_version="made up")
            for gpu_type in self.order
            if (runtime_s := self._rng.lognormvariate(7.0, 1.0))
        }
        job = Job(
            job_id=f"job-{self.writing.last_seq + 1:08d}",
            submit_s=self._time_s,
            gpus=self._rng.choice((1, 1, 1, 2, 4)),
            user=f"owner-{self._rng.randrange(OWNERS)}",
            content_hash=f"{self._rng.randrange(1000):064x}",
        )
        request = Request(job=job, predictions=predictions, program=PROGRAM)
        event = JobSubmitted(time_s=self._time_s, job=job, predictions=predictions)
        self._happens(event)
        self.writing.add_job(event, request, checked(request))

    def _end(self) -> None:
        """One of the running jobs ends, or fails and waits again."""
        number = self._rng.randrange(len(self._running))
        job_id, self._running[number] = self._running[number], self._running[-1]
        self._running.pop()
        attempt = self.cluster.active[job_id].attempt
        if attempt == 1 and self._rng.random() < FAILED:
            self._happens(AttemptFailed(time_s=self._time_s, job_id=job_id, attempt=attempt, reason="exit code 1"))
            self.writing.add_ending(job_id, attempt, Ending(exit_code=1, reason="exit code 1"))
        else:
            self._happens(AttemptFinished(time_s=self._time_s, job_id=job_id, attempt=attempt))
            self.writing.add_ending(job_id, attempt, Ending(exit_code=0))

    def _happens(self, event: Event) -> None:
        advance(self.cluster, event)
        self.writing.append(event)

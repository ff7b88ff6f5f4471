"""Jobs that are expected to end after their deadline, for those who want to hear of it."""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain

import msgspec

from kilowait.cluster.state import Cluster
from kilowait.core.jobs import Job
from kilowait.core.submission import DEADLINE
from kilowait.history import notices
from kilowait.live.notifying.messages import JobNotice
from kilowait.simulate.outlook import Expected

from .worth_telling import Subscribers, about

EVENT = "deadline"
RowsOf = Callable[[Sequence[str]], Awaitable[Mapping[str, notices.Row]]]
"""Rows of `notices.jobs_told_of`, by job id."""


class LateJobs:
    """Knows the deadlines of the jobs that wait or run: each is looked up once. Those in `told` are told of no more."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, JobNotice] | None] = {}
        self.told = set[str]()

    async def learn(self, cluster: Cluster, subscribers: Subscribers, rows_of: RowsOf) -> bool:
        """Look up the new jobs of those who ask for it; whether one has a deadline that was not told of."""
        asking = {owner for owner, ones in subscribers.items() if any(EVENT in one["events"] for one in ones)}
        jobs = {job.job_id: job for job in _jobs(cluster) if job.user in asking} if asking else {}
        self._known = {job_id: known for job_id, known in self._known.items() if job_id in jobs}
        self.told &= jobs.keys()
        rows = await rows_of([job_id for job_id in jobs if job_id not in self._known])
        self._known |= {job_id: _deadline(row, jobs[job_id]) for job_id, row in rows.items()}
        return any(known is not None and job_id not in self.told for job_id, known in self._known.items())

    def missed(self, cluster: Cluster, expected: Mapping[str, Expected], now_s: float) -> Iterator[JobNotice]:
        """What is to be told now."""
        for job_id, known in self._known.items():
            if known is None or job_id in self.told:
                continue
            active, foreseen = cluster.active.get(job_id), expected.get(job_id)
            ends_s = active.predicted_end_s if active is not None else now_s if foreseen is None else foreseen.end_s
            if (ends_s := max(ends_s, now_s)) > known[0]:
                reason = f"it is due {_text(known[0])} and expected to end {_text(ends_s)}"
                yield msgspec.structs.replace(known[1], time_s=now_s, reason=reason)


def _jobs(cluster: Cluster) -> Iterator[Job]:
    """That wait or run."""
    places = cluster.waiting.values(), cluster.stranded.values(), cluster.lines, cluster.active.values()
    return (entry.job for entry in chain.from_iterable(places))


def _deadline(row: notices.Row, job: Job) -> tuple[float, JobNotice] | None:
    """When a job is due, and the notice that it will not be over then; None for one without a deadline."""
    text = msgspec.json.decode(row["labels"], type=dict[str, str]).get(DEADLINE)
    return None if text is None else (datetime.fromisoformat(text).timestamp(), about(row, job.array, EVENT, 0.0))


def _text(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

"""Since when waiting jobs are held: they wait though a type that they may use has room for them."""

from dataclasses import dataclass, field
from itertools import islice

from kilowait.cluster.state import Cluster

LOOKED_AT = 100
"""So many of the first in the queue are looked at."""

LEAST_S = 10.0
"""Until then a decision may have been under way: nobody was held."""


@dataclass(slots=True)
class Holds:
    """By waiting job that is held, since when, in seconds; kept up by a look at every instant of a log."""

    since_s: dict[str, float] = field(default_factory=dict)

    def look(self, cluster: Cluster, next_s: float) -> None:
        """How the cluster stood after its last instant; nothing where the next event is of the same one."""
        if next_s == cluster.now_s:
            return
        room = cluster.room()
        if not room or not cluster.waiting:
            self.since_s.clear()
            return
        fitting = [w.job.job_id for w in islice(cluster.queue(), LOOKED_AT) if room.fitting(w)]
        self.since_s = {job_id: self.since_s.get(job_id, cluster.now_s) for job_id in fitting}

    def of(self, job_id: str, now_s: float) -> float | None:
        """Since when a job that is placed now had been held, None where it was not."""
        since_s = self.since_s.get(job_id)
        return since_s if since_s is not None and now_s - since_s >= LEAST_S else None

"""Since when waiting jobs are held: they wait though a type that they may use has room for them."""

from dataclasses import dataclass, field
from itertools import islice

from kilowait.cluster.standing import Waiting
from kilowait.cluster.state import Cluster

LOOKED_AT = 100
"""So many of the first in the queue are looked at."""

LEAST_S = 10.0
"""Until then a decision may have been under way: nobody was held."""

Ask = tuple[tuple[tuple[str, int], ...], int, bool]


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
        since_s, fits = dict[str, float](), dict[Ask, bool]()
        for waiting in islice(cluster.queue(), LOOKED_AT):
            if (ask := _ask(waiting)) not in fits:
                fits[ask] = any(room.fits(waiting, gpu_type) for gpu_type in waiting.gpus)
            if fits[ask]:
                job_id = waiting.job.job_id
                since_s[job_id] = self.since_s.get(job_id, cluster.now_s)
        self.since_s = since_s

    def of(self, job_id: str, now_s: float) -> float | None:
        """Since when a job that is placed now had been held, None where it was not."""
        since_s = self.since_s.get(job_id)
        return since_s if since_s is not None and now_s - since_s >= LEAST_S else None


def _ask(waiting: Waiting) -> Ask:
    """All that it depends on where a job fits: many of a queue ask for the same, and are looked at once."""
    return tuple(waiting.gpus.items()), waiting.job.gpu_milli, waiting.job.one_node

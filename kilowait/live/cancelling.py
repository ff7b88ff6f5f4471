"""Which jobs can be withdrawn, and why another cannot."""

from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.history.store import Store


def waits(cluster: Cluster, job_id: str) -> bool:
    """Whether a job waits, wherever it stands."""
    return job_id in cluster.waiting or job_id in cluster.stranded or cluster.lines.get(job_id) is not None


def over_before(store: Store, job_id: str) -> InputError | None:
    """Why a job that neither waits nor runs cannot be cancelled, None where it was cancelled before."""
    row = store.job(job_id)
    if row is not None and row["state"] == "cancelled":
        return None
    return InputError(f"job {job_id}: {'it is ' + row['state'] if row else 'unknown'}; it cannot be cancelled")

"""Why a job cannot be withdrawn."""

from kilowait.core.errors import InputError
from kilowait.history.store import Store


def over_before(store: Store, job_id: str) -> InputError | None:
    """Why a job that neither waits nor runs cannot be cancelled, None where it was cancelled before."""
    row = store.job(job_id)
    if row is not None and row["state"] == "cancelled":
        return None
    return InputError(f"job {job_id}: {'it is ' + row['state'] if row else 'unknown'}; it cannot be cancelled")

"""The event that says what became of a prediction for which a guess stood when a job was submitted."""

from collections.abc import Mapping

import msgspec

from kilowait.cluster.events import JobPredicted
from kilowait.cluster.state import Cluster
from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.core.submission import dry_run_line, printable


def late_event(
    cluster: Cluster,
    job_id: str,
    predictions: Mapping[str, Prediction],
    problem: str | None,
    time_s: float,
    dry_run: str = "",
) -> JobPredicted | None:
    """The event, None where the job waits by just these predictions; raises InputError for what cannot be kept."""
    waiting = cluster.entry(job_id)
    if problem is None and waiting is not None and waiting.whole == predictions:
        return None
    event = JobPredicted(
        time_s=time_s,
        job_id=job_id,
        predictions=predictions,
        problem=None if problem is None else printable(problem),
        dry_run=dry_run_line(dry_run),
    )
    try:
        if msgspec.json.decode(msgspec.json.encode(event), type=JobPredicted) == event:
            return event
    except (UnicodeEncodeError, msgspec.ValidationError) as error:
        raise InputError(f"the predictions of job {job_id} cannot be kept: {error}") from error
    raise InputError(f"the predictions of job {job_id} do not read back as they were written: is a number infinite?")

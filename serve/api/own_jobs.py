"""The jobs that somebody may see, for the wire."""

import time

from kilowait.history.tokens import Identity

from ..desk import job_views, questions
from ..desk.desk import Desk
from ..desk.hold_desk.kept_jobs import kept_view
from ..wire import schemas
from ..wire.problems import Refusal


async def own(desk: Desk, who: Identity, job_id: str) -> questions.Row:
    """The row of a job; what is another's is as unknown as what never was."""
    row = await desk.ask(questions.job, job_id)
    if row is None or not who.sees(row["owner"]):
        remedy = "list yours with GET /v1/jobs, or: kilowait ps"
        raise Refusal(404, "not found", f"no job {job_id!r} of yours", field="job_id", remedy=remedy)
    return row


async def view(desk: Desk, row: questions.Row) -> schemas.JobView:
    """A job with what is expected of it, if it waits, or how far it is, if it runs."""
    if row["state"] == "waiting":
        kept = kept_view((await desk.mirror()).cluster.kept.get(row["job_id"]))
        return job_views.job_view(row, (await desk.expected()).get(row["job_id"]), None, kept)
    active = (await desk.mirror()).cluster.active.get(row["job_id"]) if row["state"] == "running" else None
    if active is None:
        return job_views.job_view(row, None, None)
    started_s = row["attempts"][-1]["started_s"] if row["attempts"] else None
    power = (await desk.powers()).get(row["job_id"])
    return job_views.job_view(row, None, job_views.progress_view(active, started_s, time.time(), power))

"""The routes of shells: asking for one, reading its terminal and typing there."""

from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request, Response

from ..api.access import Submitter
from ..wire.schemas import LogPiece, Submitted
from .shell_desk import ShellDesk
from .shell_schemas import ShellBody, TypedKeys

router = APIRouter(prefix="/v1")
MOST_WAIT_S = 30.0


def the_shells(request: Request) -> ShellDesk:
    """Those of this application."""
    shells: ShellDesk = request.app.state.shells
    return shells


Shells = Annotated[ShellDesk, Depends(the_shells)]


@router.post("/shells", status_code=201)
async def open_shell(
    body: ShellBody,
    shells: Shells,
    who: Submitter,
    response: Response,
    idempotency_key: Annotated[str | None, Header(max_length=200)] = None,
) -> Submitted:
    """Ask for a shell: a job with a terminal, in every list; the same Idempotency-Key is the same one."""
    submitted = await shells.submit(body, who.owner, idempotency_key)
    response.headers["Location"] = f"/v1/jobs/{submitted.job_id}"
    return submitted


@router.get("/shells/{job_id}/terminal")
async def read_terminal(
    job_id: str,
    shells: Shells,
    who: Submitter,
    offset: Annotated[int, Query(ge=0)] = 0,
    wait_s: Annotated[float, Query(ge=0, le=MOST_WAIT_S, description="so long something new is waited for")] = 0.0,
) -> LogPiece:
    """What its terminal has shown, from a byte on, as a log is read: its owner alone."""
    return await shells.shown(who, job_id, offset, wait_s)


@router.post("/shells/{job_id}/terminal", status_code=204)
async def type_at_terminal(job_id: str, body: TypedKeys, shells: Shells, who: Submitter) -> None:
    """Type at its terminal, and say how large it is: its owner alone. Not kept in the audit."""
    await shells.type_in(who, job_id, body)

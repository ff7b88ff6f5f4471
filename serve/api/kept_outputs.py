"""Files that jobs keep: which there are, and each of them."""

import asyncio
from typing import Any

from fastapi import APIRouter
from fastapi.responses import StreamingResponse

from kilowait.core.errors import InputError
from kilowait.live.job_outputs import Kept, OutputStore

from ..desk.desk import Desk
from ..wire.output_schemas import KeptFileView, KeptView, Outputs
from ..wire.problems import Refusal
from .access import At, Reader
from .own_jobs import own

router = APIRouter(prefix="/v1")
FILE: dict[int | str, dict[str, Any]] = {200: {"content": {"application/octet-stream": {}}}}


@router.get("/jobs/{job_id}/outputs")
async def outputs(job_id: str, desk: At, who: Reader) -> Outputs:
    """The files that a job kept, of its last attempt that kept some, by node."""
    await own(desk, who, job_id)
    _, found = await _kept(desk, job_id)
    return Outputs(
        job_id=job_id,
        attempt=found[0].attempt if found else None,
        nodes=[
            KeptView(
                rank=kept.rank,
                files=[KeptFileView(path=file.path, bytes=file.bytes) for file in kept.files],
                left=kept.left,
                left_names=list(kept.left_names),
                problem=kept.problem,
            )
            for kept in found
        ],
    )


@router.get("/jobs/{job_id}/outputs/{path:path}", response_class=StreamingResponse, responses=FILE)
async def output(job_id: str, path: str, desk: At, who: Reader, rank: int = 0) -> StreamingResponse:
    """One of these files."""
    await own(desk, who, job_id)
    store, found = await _kept(desk, job_id)
    for kept in found:
        file = next((file for file in kept.files if file.path == path and kept.rank == rank), None)
        if file is not None:
            headers = {
                "Content-Length": str(file.bytes),
                "Content-Disposition": "attachment",
                "X-Content-Type-Options": "nosniff",
            }
            return StreamingResponse(store.read(kept, path), media_type="application/octet-stream", headers=headers)
    remedy = f"list them with GET /v1/jobs/{job_id}/outputs, or: kilowait fetch --list {job_id}"
    raise Refusal(404, "not found", f"job {job_id} keeps no file {path!r} of rank {rank}", field="path", remedy=remedy)


async def _kept(desk: Desk, job_id: str) -> tuple[OutputStore, list[Kept]]:
    assert desk.settings is not None  # once the job was asked for
    try:
        store = OutputStore(desk.settings.outputs)
        return store, await asyncio.to_thread(store.kept, job_id)
    except (OSError, InputError) as error:
        remedy = "an operator looks at the service's option outputs"
        raise Refusal(503, "unavailable", f"outputs cannot be read: {error}", remedy=remedy) from error

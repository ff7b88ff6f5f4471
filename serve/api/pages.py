"""The page at / and a job's page: static files of this package, with a policy that lets them load nothing else."""

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from ..wire.problems import Refusal

FOLDER = Path(__file__).parents[1] / "page"
TYPES = {".css": "text/css", ".js": "text/javascript", ".html": "text/html"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def cluster_page() -> FileResponse:
    """The cluster; it asks for a token itself."""
    return _file("index.html")


@router.get("/jobs")
async def jobs_page() -> FileResponse:
    """Jobs of any state, to be searched."""
    return _file("jobs.html")


@router.get("/submit")
async def submit_page() -> FileResponse:
    """A form to submit from, and to ask what a job would get."""
    return _file("submit.html")


@router.get("/job")
async def job_page() -> FileResponse:
    """A job, named by ?id=."""
    return _file("job.html")


@router.get("/page/{name}")
async def part(name: str) -> FileResponse:
    """A style sheet or a script of the pages."""
    if name not in {path.name for path in FOLDER.iterdir()}:
        raise Refusal(404, "not found", f"no file {name!r}", remedy="the pages are at / and /job?id=JOB")
    return _file(name)


def _file(name: str) -> FileResponse:
    path = FOLDER / name
    return FileResponse(path, media_type=f"{TYPES[path.suffix]}; charset=utf-8", headers=HEADERS)

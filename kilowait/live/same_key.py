"""What a second request by a key that was used before is: the same job, or a mistake."""

from kilowait.core.errors import InputError
from kilowait.core.submission import Request


def same_job(request: Request, earlier: tuple[str, str], request_hash: str) -> str | InputError:
    """The job of an earlier request by the same key, if it asked for the same."""
    job_id, earlier_hash = earlier
    if earlier_hash == request_hash:
        return job_id
    used = f"used for job {job_id}, which asked for something else"
    return InputError(f"key {request.client_key!r}: {used}; take another")

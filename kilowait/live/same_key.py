"""What a second request by a key that was used before is: the same job, or a mistake."""

from kilowait.core.errors import InputError
from kilowait.core.submission import Request


def same_job(request: Request, earlier: tuple[str, str], request_hash: str) -> str | InputError:
    """The job of an earlier request by the same key, if it asked for the same."""
    job_id, earlier_hash = earlier
    if earlier_hash == request_hash:
        return job_id
    return InputError(_other(request, job_id))


def same_array(request: Request, earlier: tuple[str, str], request_hash: str) -> str:
    """The array of an earlier request by the same key; raises InputError where it asked for something else."""
    array_id, earlier_hash = earlier
    if earlier_hash != request_hash:
        raise InputError(_other(request, array_id))
    return array_id


def _other(request: Request, earlier_id: str) -> str:
    kind = "array" if earlier_id.startswith("array") else "job"
    used = f"used for {kind} {earlier_id}, which asked for something else"
    return f"key {request.client_key!r}: {used}; take another"

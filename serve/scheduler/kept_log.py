"""Logs of attempts that have ended, as the history keeps them."""

from kilowait.history.store import Store


def kept_log(store: Store, job_id: str, rank: int, offset: int, limit: int) -> tuple[int, bytes]:
    """What the last attempt of a job wrote on one node, from `offset` or the oldest byte that is kept."""
    attempts = store.attempts(job_id)
    stored = store.log(job_id, attempts[-1]["attempt"], rank) if attempts else None
    if stored is None:
        return offset, b""
    begin = max(offset, stored.first_byte)
    return begin, stored.data[begin - stored.first_byte :][:limit]

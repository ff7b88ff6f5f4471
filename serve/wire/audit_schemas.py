"""Who did what, as JSON."""

from .schemas import Wire


class AuditEntry(Wire):
    """One thing that was done, or refused: `status` is that of the answer."""

    seq: int
    time_s: float
    owner: str
    token_id: str
    role: str
    address: str
    action: str
    target: str
    status: int


class AuditPage(Wire):
    """A page of them; `next` is the `after` of the next page, null on the last."""

    entries: list[AuditEntry]
    next: int | None

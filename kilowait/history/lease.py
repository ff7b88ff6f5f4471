"""Which cluster may schedule by a history: a lease in its database, so that two living ones never do.

A scheduler that starts takes the lease, and says RENEWALS times in its length that it lives. Another cluster is refused
while the holder was heard of within its lease. The scheduler of the same cluster, killed and started again, takes over
at once. A lease that has run out may be taken by anybody: the attempts on the nodes of the old cluster then count as
lost with them. LEASE_S is longer than a Ray node outlives its head, so a job of a cluster that died does not run when
it is started again.

A claim may promise less than LEASE_S, for a standby that is to take over sooner. Its jobs are then fenced: each runs
on only while its scheduler says so, for FENCED of the lease from each renewal, whatever became of scheduler, head,
network or database. Clocks of the hosts must agree to well within the rest.

Not covered: without that, a cluster that lives on but does not reach the database for LEASE_S, while another one is
started on it. The old one can write nothing any more, and ends its jobs as soon as it reads that it was replaced; until
then they run beside their next attempts.
"""

import msgspec
from msgspec import Struct
from sqlalchemy import Connection, delete, insert, select, update

from kilowait.core.errors import Occupied
from kilowait.history.schema import META

LEASE_S = 90.0
"""A lease that was not renewed for so long has run out: Ray's nodes give up a lost head after 60 s."""

RENEWALS = 9
"""How often in the time of its lease a holder says that it lives."""

FENCED = 2 / 3
"""The share of a short lease for which a job runs on after the last renewal."""

KEY = "lease"


class Claim(Struct, frozen=True, kw_only=True):
    """A cluster that has the history or wants it, what people call its scheduler, and when it said so.

    `lease_s` after that none of its jobs runs any more, and anybody may take the history over.
    """

    cluster: str
    holder: str
    time_s: float
    lease_s: float = LEASE_S

    @property
    def fenced_s(self) -> float | None:
        """Until when its jobs may run on, in seconds since the epoch; None where they are not fenced."""
        return self.time_s + FENCED * self.lease_s if self.lease_s < LEASE_S else None


def kept(connection: Connection) -> Claim | None:
    """The last holder, None where there never was one or it let go."""
    text = connection.execute(select(META.c.value).where(META.c.key == KEY)).scalar()
    return None if text is None else msgspec.json.decode(text, type=Claim)


def check(name: str, held: Claim | None, cluster: str, time_s: float) -> None:
    """Raises Occupied while another cluster holds the history `name`."""
    if held is None or held.cluster == cluster or time_s - held.time_s >= held.lease_s:
        return
    heard_s = max(0.0, time_s - held.time_s)
    raise Occupied(
        f"{name}: held by {held.holder} (Ray cluster {held.cluster[:12]}), heard of {heard_s:.0f} s ago; "
        f"two clusters would run its jobs twice: stop that service, give this one a database of its own, or, if that "
        f"cluster is dead, wait {held.lease_s - heard_s:.0f} s until its lease has run out"
    )


def write(connection: Connection, claim: Claim) -> None:
    """Keep a claim as the holder's."""
    text = msgspec.json.encode(claim).decode()
    if not connection.execute(update(META).where(META.c.key == KEY).values(value=text)).rowcount:
        connection.execute(insert(META).values(key=KEY, value=text))


def erase(connection: Connection) -> None:
    """Nobody holds it."""
    connection.execute(delete(META).where(META.c.key == KEY))

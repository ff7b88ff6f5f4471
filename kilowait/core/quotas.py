"""What a project, or each user, may have of a cluster: an operator's word, kept with the events of the cluster."""

import re
from math import isfinite

from msgspec import Struct

from kilowait.core.errors import InputError
from kilowait.core.submission_limits import MAX_NAME

MAX_MEMBERS = 1000
"""Of one project."""
CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Quota(Struct, frozen=True, kw_only=True):
    """What the `members` of the project `name` may have together or, where none are named, every user alone.

    `gpus` are held at a time, `jobs` wait, `kwh` and `cost` (of GPUs, in the currency of the site's prices) are of 30
    days, as predicted; None is no limit. The `admins` of a project see and cancel its members' jobs, and may remove
    members. Whom one of them let go is in `former`, held to the same limits alone: only operators free anybody.
    """

    name: str
    members: tuple[str, ...] = ()
    gpus: int | None = None
    jobs: int | None = None
    kwh: float | None = None
    cost: float | None = None
    admins: tuple[str, ...] = ()
    former: tuple[str, ...] = ()

    @property
    def limits_nothing(self) -> bool:
        """Whether it is as good as none."""
        return not self.admins and all(limit is None for limit in (self.gpus, self.jobs, self.kwh, self.cost))

    @property
    def whose(self) -> str:
        """Whose quota it is, for people."""
        return f"project {self.name}" if self.members else f"each user ({self.name})"

    def account(self, user: str | None) -> str | None:
        """Against whom what a user has counts, None where this is not about them."""
        if not self.members:
            return user
        if user in self.members:
            return self.name
        return f"{user}, once of {self.name}" if user in self.former else None

    def accounts(self) -> dict[str, str]:
        """Against whom what each of its users has counts, where it is a project's."""
        return {user: self.account(user) or "" for user in (*self.former, *self.members)}


def checked_quota(quota: Quota) -> Quota:
    """The same quota; raises InputError, naming the field, for one that cannot be kept or held to."""
    for name in (quota.name, *quota.members, *quota.admins, *quota.former):
        if not 0 < len(name) <= MAX_NAME or CONTROL.search(name):
            raise InputError(f"quota: a name has 1 to {MAX_NAME} printable characters, got {name[:MAX_NAME]!r}")
    for kind, names in (("members", quota.members), ("administrators", quota.admins)):
        if len(names) > MAX_MEMBERS:
            raise InputError(f"quota: at most {MAX_MEMBERS} {kind}, got {len(names)}; make it two projects")
    if quota.admins and not quota.members:
        raise InputError(f"quota {quota.name}: a project has administrators, and members; name some")
    for unit, amount in (("gpus", quota.gpus), ("jobs", quota.jobs), ("kwh", quota.kwh), ("cost", quota.cost)):
        if amount is not None and not (isfinite(amount) and amount > 0):
            raise InputError(f"quota: {unit} must be > 0, got {amount!r}; leave it out for no limit")
    return quota

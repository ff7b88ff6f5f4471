"""Who may ask for what: dependencies of the routes that check the bearer token."""

from typing import Annotated, Any

from fastapi import Depends, Header, Request
from fastapi.security import HTTPBearer
from msgspec.structs import replace

from kilowait.history.token_limits import scope_of
from kilowait.history.tokens import Identity, Role

from ..desk.desk import Desk
from ..scheduler.settings import SchedulerSettings
from ..wire.problems import Refusal


def the_desk(request: Request) -> Desk:
    """The desk of this application."""
    desk: Desk = request.app.state.desk
    return desk


async def the_settings(desk: Desk) -> SchedulerSettings:
    """What the scheduler was told when it was made."""
    if desk.settings is None:
        await desk.ask(lambda _: None)
    assert desk.settings is not None  # once something was asked
    return desk.settings


At = Annotated[Desk, Depends(the_desk)]
BEARER = HTTPBearer(auto_error=False, description="an operator makes a token with: kilowait token create")
"""Declares in the description of the API that a route asks for a token; `allowed` looks at it."""


async def identified(request: Request, authorization: str | None) -> Identity:
    """Who asks; raises Refusal without a token, and for a wrong one."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise Refusal(
            401, "unauthorized", "no token was given", field="Authorization",
            remedy="send Authorization: Bearer TOKEN; an operator makes one with: kilowait token create",
        )  # fmt: skip
    identity = await the_desk(request).identity(token.strip())
    if identity is None:
        raise await request.app.state.wrong_tokens.slowed(address_of(request))
    return identity


def address_of(request: Request) -> str:
    """Where a request comes from, "" where that is not known."""
    return request.client.host if request.client is not None else ""


def _administering(identity: Identity, desk: Desk) -> Identity:
    """Who asks, with the members of projects whose administrator this is, as of what was last seen of the log."""
    quotas = desk.last_mirror.cluster.quotas.values() if desk.last_mirror is not None else ()
    members = {name for quota in quotas if identity.owner in quota.admins for name in quota.members}
    return replace(identity, administers=frozenset(members)) if members else identity


def allowed(role: Role) -> Any:
    """A dependency: who asks, refused without a token of at least this role."""

    async def check(
        request: Request, _: Annotated[Any, Depends(BEARER)], authorization: Annotated[str | None, Header()] = None
    ) -> Identity:
        identity = await identified(request, authorization)
        identity = _administering(identity, the_desk(request))
        request.scope.setdefault("state", {})["identity"] = identity
        if identity.scopes and (scope := scope_of(request.url.path)) not in identity.scopes:
            raise Refusal(
                403, "forbidden", f"the token is for {', '.join(identity.scopes)}, this is of {scope}",
                field="Authorization", remedy=f"ask an operator for a token with the scope {scope}",
            )  # fmt: skip
        if identity.role < role:
            have, need = identity.role.name.lower(), role.name.lower()
            raise Refusal(
                403, "forbidden", f"the token's role is {have}, this needs {need}", field="Authorization",
                remedy=f"ask an operator for a token of the role {need}",
            )  # fmt: skip
        return identity

    return Depends(check)


Reader = Annotated[Identity, allowed(Role.READ)]
Submitter = Annotated[Identity, allowed(Role.SUBMIT)]
Operator = Annotated[Identity, allowed(Role.OPERATE)]

"""Routes of secrets: each user's own, whatever their role."""

from fastapi import APIRouter

from kilowait.history.secrecy import secret_store

from ..wire.problems import Refusal
from ..wire.secret_schemas import SecretAsked, SecretList, SecretName
from .access import At, Reader, Submitter, the_settings

router = APIRouter(prefix="/v1")


@router.put("/secrets/{name}", status_code=204)
async def keep(name: str, body: SecretAsked, desk: At, who: Submitter) -> None:
    """Keep a value under a name, in the place of an earlier one: jobs that start from now on are given it."""
    key_file = (await the_settings(desk)).secrets_key_file
    await desk.ask(secret_store.set_secret, key_file, who.owner, name, body.value.get_secret_value())


@router.get("/secrets")
async def list_secrets(desk: At, who: Reader) -> SecretList:
    """The names of one's secrets; their values are given to jobs alone."""
    rows = await desk.ask(secret_store.secret_names, who.owner)
    return SecretList(secrets=[SecretName(**row) for row in rows])


@router.delete("/secrets/{name}", status_code=204)
async def remove(name: str, desk: At, who: Submitter) -> None:
    """Forget a secret: a job that asks for it and has not started will fail."""
    if not await desk.ask(secret_store.remove_secret, who.owner, name):
        remedy = "list yours with GET /v1/secrets, or: kilowait secret list"
        raise Refusal(404, "not found", f"no secret {name[:100]!r} of yours", field="name", remedy=remedy)

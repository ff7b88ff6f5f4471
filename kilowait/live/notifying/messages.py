"""What a notice says: as JSON for programs, as a line, and as the JSON that Slack takes."""

import hashlib
import hmac
from typing import Any

import msgspec
from msgspec import Struct

from kilowait.core.control_characters import escaped

SIGNATURE = "Kilowait-Signature"


class JobNotice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What happened to a job, or to a job array: times in seconds since the epoch."""

    event: str
    subject: str
    owner: str
    time_s: float
    name: str = ""
    job_id: str = ""
    array: str = ""
    state: str = ""
    reason: str = ""
    gpu_type: str = ""
    attempt: int = 0
    predicted_s: float = 0.0
    run_s: float = 0.0
    tasks: dict[str, int] = {}


VERBS = {
    "start": "has started",
    "end": "is over",
    "failure": "has failed",
    "overrun": "takes longer than predicted",
    "deadline": "is expected to miss its deadline",
    "test": "is told of to try it",
}


def line(message: JobNotice) -> str:
    """It in a line, without anything that steers a terminal."""
    called = f"{message.subject} ({message.name})" if message.name else message.subject
    state = f": {message.state}" if message.event == "end" and message.state else ""
    more = [f"on {message.gpu_type}"] if message.gpu_type else []
    more += [f"{count:,} {state}" for state, count in message.tasks.items()]
    more += [f"{message.run_s:,.0f} s, predicted {message.predicted_s:,.0f} s"] if message.predicted_s else []
    more += [message.reason] if message.reason else []
    return escaped(f"{called} {VERBS[message.event]}{state}{'; ' if more else ''}{'; '.join(more)}")


def payload(message: JobNotice) -> bytes:
    """The body of a webhook."""
    return msgspec.json.encode({"text": line(message), **msgspec.to_builtins(message)})


def slack_payload(message: JobNotice) -> bytes:
    """What Slack's incoming webhooks take; its own signs mean nothing in it."""
    text = line(message).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return msgspec.json.encode({"text": text})


def signed(body: bytes, key: str, now_s: float) -> str:
    """The header by which a receiver knows who sent a body, and when: HMAC-SHA256 of `SECONDS.BODY`."""
    seconds = str(int(now_s))
    code = hmac.new(key.encode(), seconds.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"t={seconds},v1={code}"


def read(text: str) -> JobNotice:
    """A message as it was kept."""
    return msgspec.json.decode(text, type=JobNotice)


def written(message: JobNotice) -> Any:
    """A message as it is kept."""
    return msgspec.json.encode(message).decode()

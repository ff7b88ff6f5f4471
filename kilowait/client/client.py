"""A client of the live service: its answers as the JSON that they are.

A refusal of what was asked (4xx) is an InputError that says what is wrong and what to do; a service that is not there,
or cannot answer after `patience_s` seconds of asking again, a ServiceError. A submission carries a key, so asking again
never makes a second job.
"""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import requests

from kilowait.client.asked_job import job_of
from kilowait.client.http_asking import DEFAULT_PORT, DEFAULT_URL, HttpAsking, Json, part, reason_of
from kilowait.client.looking import growing_log
from kilowait.core.errors import InputError, ServiceError
from kilowait.program.source import read_source

TOGETHER, TOGETHER_CHARACTERS = 10, 4_000_000
"""What goes into one request of several jobs: predicting each new program takes a second or more."""

SEVERAL_S = 300.0
"""How long the answer to an array is waited for: some of its tasks are predicted."""

__all__ = ["DEFAULT_PORT", "DEFAULT_URL", "Client", "job_of"]


class Client(HttpAsking):
    """Everything that the service may be asked."""

    def predict(
        self, path: Path | str, *, software: str | None = None, environment: Mapping[str, str] | None = None
    ) -> Json:
        """What a source file takes on each type, in an environment of the operator's and with variables it sees."""
        source = read_source(path)
        given = {"software": software, "environment": environment and dict(environment)}
        more = {name: value for name, value in given.items() if value}
        return self.ask("POST", "/v1/predict", json={"source": source.text, "name": source.name, **more})

    def submit(self, asked: Mapping[str, Any], key: str | None = None) -> Json:
        """Submit what `job_of` made; the same key is the same job."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self.ask("POST", "/v1/jobs", json=asked, headers=headers)

    def submit_batch(self, asked: Sequence[Mapping[str, Any]], key: str | None = None) -> list[Json]:
        """Submit several, a few in each request; of each what became of it, in `accepted` or `refused`.

        The same key and the same list are the same jobs; a ServiceError says how many are accepted, and the key.
        """
        key, answers = key or uuid.uuid4().hex, list[Json]()
        for number, jobs in enumerate(_parts(asked)):
            headers = {"Idempotency-Key": f"{key}-{number}"}
            try:
                answers += self.ask("POST", "/v1/jobs:batch", json={"jobs": jobs}, headers=headers)["jobs"]
            except ServiceError as error:
                progress = (
                    f"{len(answers)} of {len(asked)} programs were taken in before; ask for all again with --key {key}"
                )
                raise ServiceError(f"{error}; {progress}") from error
        return answers

    def submit_array(self, asked: Mapping[str, Any], key: str | None = None) -> Json:
        """Submit a job array: what `job_of` made with tasks, rows, at_once; the same key is the same array."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self.ask("POST", "/v1/arrays", json=asked, headers=headers, answer_s=SEVERAL_S)

    def open_shell(self, asked: Mapping[str, Any], key: str | None = None) -> Json:
        """Ask for a shell; the same key is the same one."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self.ask("POST", "/v1/shells", json=asked, headers=headers)

    def terminal(self, job_id: str, *, offset: int = 0, wait_s: float = 0.0) -> Json:
        """What the terminal of one's own shell has shown from a byte on, once there is something."""
        params = {"offset": offset, "wait_s": wait_s}
        return self.ask("GET", f"/v1/shells/{part(job_id)}/terminal", params=params)

    def type_in(self, job_id: str, keys: str, size: tuple[int, int] | None = None) -> None:
        """Type there, once, and say how large it is, as (rows, columns)."""
        asked = {"keys": keys, **({} if size is None else {"rows": size[0], "columns": size[1]})}
        self.send("POST", f"/v1/shells/{part(job_id)}/terminal", again=False, json=asked)

    def arrays(self, **filters: Any) -> Iterator[Json]:
        """One's job arrays, page by page."""
        return self.pages("/v1/arrays", "arrays", filters)

    def array(self, array_id: str) -> Json:
        """A job array, and how many of its tasks are in each state."""
        return self.ask("GET", f"/v1/arrays/{part(array_id)}")

    def what_if(self, asked: Mapping[str, Any]) -> Json:
        """What a job would get now, without submitting it."""
        return self.ask("POST", "/v1/what-if", json=asked)

    def jobs(self, **filters: Any) -> Iterator[Json]:
        """One's jobs, page by page."""
        return self.pages("/v1/jobs", "jobs", filters)

    def job(self, job_id: str) -> Json:
        """A job as it stands."""
        return self.ask("GET", f"/v1/jobs/{part(job_id)}")

    def why(self, job_id: str) -> Json:
        """Why it waits, or got its type."""
        return self.ask("GET", f"/v1/jobs/{part(job_id)}/why")

    def cancel(self, job_id: str) -> Json:
        """Withdraw a job, or ask its program to end."""
        return self.ask("POST", f"/v1/jobs/{part(job_id)}/cancel")

    def cancel_jobs(self, **meant: Any) -> Json:
        """Cancel many in one request: `job_ids`, or state, name, labels and owner; all with `every`. What became of
        them: `cancelled`, `ending`, `refused`."""
        return self.ask("POST", "/v1/jobs:cancel", json=meant)

    def log(self, job_id: str, *, offset: int = 0, rank: int = 0) -> Json:
        """A piece of a job's log."""
        return self.ask("GET", f"/v1/jobs/{part(job_id)}/logs", params={"offset": offset, "rank": rank})

    def outputs(self, job_id: str) -> Json:
        """The files that a job kept, by node."""
        return self.ask("GET", f"/v1/jobs/{part(job_id)}/outputs")

    def output(self, job_id: str, path: str, *, rank: int = 0) -> Iterator[bytes]:
        """One of these files in pieces; a ServiceError where it breaks off."""
        where = f"/v1/jobs/{part(job_id)}/outputs/{quote(path)}"
        with self.send("GET", where, params={"rank": rank}, stream=True) as answer:
            try:
                yield from answer.iter_content(1 << 20)
            except requests.RequestException as error:
                raise ServiceError(f"{self.url}: {path} broke off ({reason_of(error)}); fetch again") from error

    def follow(self, job_id: str, *, rank: int = 0) -> Iterator[bytes]:
        """A job's log as it grows, until the job is over, in whole characters: asked for again and again, so that a
        silent hour breaks nothing."""
        return growing_log(lambda offset: self.log(job_id, offset=offset, rank=rank))

    def health(self) -> Json:
        """Whether the service can do its work, also where it cannot; needs no token."""
        return self.ask("GET", "/v1/health", may_fail=True)

    def cluster(self) -> Json:
        """The cluster as it is."""
        return self.ask("GET", "/v1/cluster")

    def drain(self, node: str) -> Json:
        """Give the node whose name begins so no more jobs; the cluster with it. Operators only."""
        return self.ask("POST", f"/v1/nodes/{part(self._node(node))}/drain")

    def undrain(self, node: str) -> Json:
        """Give the node whose name begins so jobs again; the cluster with it. Operators only."""
        return self.ask("POST", f"/v1/nodes/{part(self._node(node))}/undrain")

    def maintain(self, node: str, begins_s: float, ends_s: float, reason: str = "") -> Json:
        """Maintain the node whose name begins so from one time to another; the cluster with it. Operators only."""
        asked = {"begins_s": begins_s, "ends_s": ends_s, "reason": reason}
        return self.ask("PUT", f"/v1/nodes/{part(self._node(node))}/maintenance", json=asked)

    def reserve(self, name: str, asked: Json) -> None:
        """Keep `nodes`, by the beginnings of their names, from `begins_s` to `ends_s` for `users` and `projects`, with
        a `reason`; operators only."""
        nodes = [self._node(node) for node in asked["nodes"]]
        self.send("PUT", f"/v1/reservations/{part(name)}", json={**asked, "nodes": nodes})

    def reservations(self) -> Json:
        """The reservations that have not ended."""
        return self.ask("GET", "/v1/reservations")["reservations"]

    def end_reservation(self, name: str) -> None:
        """End a reservation, or call it off; operators only."""
        self.send("DELETE", f"/v1/reservations/{part(name)}")

    def set_power_budget(self, steps: Json) -> Json:
        """Hold the cluster to `watts` each from a time `at` of the day on (HH:MM, UTC); the cluster. Operators only."""
        return self.ask("PUT", "/v1/power-budget", json={"steps": steps})

    def remove_power_budget(self) -> Json:
        """Let there be none any more; the cluster. Operators only."""
        return self.ask("DELETE", "/v1/power-budget")

    def _node(self, node: str) -> str:
        """The whole name; raises InputError unless it is one node's."""
        names = [entry["node"] for entry in self.cluster()["nodes"]]
        found = [name for name in names if node and name.startswith(node)]
        if len(found) != 1:
            what = f"the beginning of {len(found)} nodes' names" if found else "no node's name"
            raise InputError(f"node {node!r}: {what}; take one of {', '.join(names) or '(there is none)'}")
        return str(found[0])

    def history(self, form: str = "csv") -> bytes:
        """Every attempt that has ended, as CSV or Parquet."""
        return bytes(self.send("GET", "/v1/history", params={"format": form}).content)

    def models(self) -> Json:
        """Every model that was learnt from finished jobs, and which is in force."""
        return self.ask("GET", "/v1/models")

    def model(self, version: str) -> Json:
        """A model and its comparison."""
        return self.ask("GET", f"/v1/models/{part(version)}")

    def promote(self, version: str, reason: str) -> Json:
        """Put a model in force; operators only."""
        return self.ask("POST", f"/v1/models/{part(version)}/promote", json={"reason": reason})

    def rollback(self, reason: str) -> Json:
        """Take the model in force off; operators only."""
        return self.ask("POST", "/v1/models/rollback", json={"reason": reason})

    def set_secret(self, name: str, value: str) -> None:
        """Keep a secret of one's own, in the place of an earlier value."""
        self.send("PUT", f"/v1/secrets/{part(name)}", json={"value": value})

    def secrets(self) -> Json:
        """The names of one's secrets."""
        return self.ask("GET", "/v1/secrets")["secrets"]

    def remove_secret(self, name: str) -> None:
        """Forget a secret of one's own."""
        self.send("DELETE", f"/v1/secrets/{part(name)}")

    def set_quota(self, name: str, asked: Json) -> None:
        """Set what a project or each user may have: members, admins, gpus, jobs, kwh, cost; operators only."""
        self.send("PUT", f"/v1/quotas/{part(name)}", json=asked)

    def quotas(self) -> Json:
        """The quotas that concern one, with what is had of them."""
        return self.ask("GET", "/v1/quotas")["quotas"]

    def remove_quota(self, name: str) -> None:
        """Let it be a quota no more; operators only."""
        self.send("DELETE", f"/v1/quotas/{part(name)}")

    def remove_member(self, name: str, member: str) -> None:
        """Let somebody be a member of a project no more; operators and the project's administrators."""
        self.send("DELETE", f"/v1/quotas/{part(name)}/members/{part(member)}")

    def notify(self, asked: Json) -> Json:
        """Be told of one's own jobs: `kind`, `target`, `events`, `name`."""
        return self.ask("POST", "/v1/notices", again=False, json=asked)

    def notices(self) -> Json:
        """One's subscriptions."""
        return self.ask("GET", "/v1/notices")["notices"]

    def try_notice(self, notice_id: str) -> Json:
        """Be told something now."""
        return self.ask("POST", f"/v1/notices/{part(notice_id)}/test")

    def stop_notices(self, notice_id: str) -> None:
        """Be told nothing more by a subscription."""
        self.send("DELETE", f"/v1/notices/{part(notice_id)}")

    def make_token(self, owner: str, role: str, **limits: Any) -> str:
        """A new token, with `expires_in_s` and `scopes` where it is limited; operators only."""
        return str(self.ask("POST", "/v1/tokens", again=False, json={"owner": owner, "role": role, **limits})["token"])

    def audit(self, **chosen: Any) -> Iterator[Json]:
        """Who changed what, page by page; operators only."""
        after: int | None = 0
        while after is not None:
            page = self.ask("GET", "/v1/audit", params={**chosen, "after": after})
            yield from page["entries"]
            after = page["next"]

    def audit_csv(self, **chosen: Any) -> bytes:
        """All of it as CSV; operators only."""
        return bytes(self.send("GET", "/v1/audit", params={**chosen, "format": "csv"}).content)

    def tokens(self) -> Json:
        """Every token, without secrets; operators only."""
        return self.ask("GET", "/v1/tokens")["tokens"]

    def revoke_token(self, token_id: str, *, force: bool = False) -> None:
        """Refuse a token from now on, with `force` even the last operator's; operators only."""
        self.send("DELETE", f"/v1/tokens/{part(token_id)}", params={"force": "true"} if force else None)


def _parts(jobs: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Jobs in order, so many together as one request may hold."""
    part, size = list[Mapping[str, Any]](), 0
    for job in jobs:
        length = len(job.get("source") or job.get("archive") or "")
        if part and (len(part) == TOGETHER or size + length > TOGETHER_CHARACTERS):
            yield part
            part, size = [], 0
        part.append(job)
        size += length
    if part:
        yield part

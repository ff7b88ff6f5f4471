"""Notices over a real history, to a real HTTP receiver and mail server: what is told, to whom, and how often."""

import asyncio
import hashlib
import hmac
import json
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from kilowait.core.errors import InputError, StoreError
from kilowait.core.submission import Ending
from kilowait.core.tasks.array_request import ArrayRequest, TaskAsked
from kilowait.history import notices
from kilowait.history.secrecy.key_file import new_key
from kilowait.history.store import Store
from kilowait.live.controller import Controller
from kilowait.live.notifying.notice_settings import NoticeSettings
from kilowait.live.notifying.outward import NotTold, checked_url, is_public, post
from kilowait.policies.simple import simple
from serve.desk.notify_desk import notifier as module
from serve.desk.notify_desk.notifier import Notifier
from tests.support.desk_world import DeskWorld
from tests.support.hook_receiver import HookReceiver
from tests.support.live_world import request, seen

OWNERS = ("ada", "operator")
WELL, BADLY = Ending(exit_code=0), Ending(exit_code=3, reason="exit code 3 <b>")


@pytest.fixture
def receiver():
    with HookReceiver() as server:
        yield server
        server.shutdown()


class NoticeWorld(DeskWorld):
    """A desk, a controller that makes events in its history, and a notifier whose clock stands still."""

    def __init__(self, folder, **options):
        super().__init__(folder)
        new_key(folder / "key")
        settings = NoticeSettings(**{"internal": ("127.0.0.0/8",), **options})
        change = {"secrets_key_file": str(folder / "key"), "notices": settings}
        self.status["settings"] = msgspec.structs.replace(self.status["settings"], **change)
        self.live = Controller(Store(self.url), simple(), order=("A",))
        self.live.node_joined("n1", "A", 8, 1.0)
        self.now_s = time.time()
        self.notifier = Notifier(self.desk, lambda: self.now_s)

    def subscribe(self, kind, target, who="ada", **more):
        answer = self.call("POST", "/v1/notices", who, json={"kind": kind, "target": target, **more})
        assert answer.status_code == 201, answer.text
        return answer.json()

    def look(self):
        """Look once, and wait until all that is told has been."""

        async def once():
            await self.notifier.look()
            while self.notifier._telling:
                await asyncio.sleep(0.01)

        self.client.portal.call(once)

    def ran(self, ending=WELL, **fields):
        job_id = self.live.submit(request(predictions=seen(A=(10, 1)), **fields), self.now_s)
        (attempt,) = self.live.decide(self.now_s)
        if ending is not None:
            self.live.attempt_finished(job_id, 1, attempt.token, ending, self.now_s)
        return job_id


@pytest.fixture
def world(tmp_path):
    with NoticeWorld(tmp_path) as world:
        yield world


def bodies(receiver):
    return [json.loads(body) for _, _, body in receiver.got]


def test_a_webhook_is_signed_and_told_once_of_what_was_asked_for_of_ones_own_jobs(world, receiver):
    world.ran()  # before anybody asked
    made = world.subscribe("webhook", receiver.url, events=["start", "end", "failure"], name="sweep-*")
    finished = world.ran(labels={"kilowait/name": "sweep-1"})
    failed = world.ran(BADLY, labels={"kilowait/name": "sweep-2"})
    world.ran(labels={"kilowait/name": "other"})
    world.ran(user="bob", labels={"kilowait/name": "sweep-3"})
    for _ in range(3):
        world.look()
    told = sorted((body["job_id"], body["event"], body.get("reason", "")) for body in bodies(receiver))
    assert told == [
        (finished, "end", ""),
        (finished, "start", ""),
        (failed, "failure", "exit code 3 <b>"),
        (failed, "start", ""),
    ]
    for _, headers, body in receiver.got:
        seconds, code = headers["Kilowait-Signature"].removeprefix("t=").split(",v1=")
        assert abs(int(seconds) - world.now_s) < 2
        right = hmac.new(made["signing_key"].encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
        assert code == right
    (listed,) = world.call("GET", "/v1/notices").json()["notices"]
    assert (listed["told"], listed["due"], listed["problem"], listed["target"]) == (4, 0, None, "http://127.0.0.1/...")
    with Store(world.url)._engine.connect() as connection:
        dump = "\n".join(connection.connection.iterdump())
    assert "s3cr3t" not in dump
    assert made["signing_key"] not in dump


def test_what_nobody_takes_is_told_again_with_growing_pauses_and_given_up_in_the_end(world, receiver):
    world.subscribe("webhook", receiver.url, events=["end"])
    receiver.statuses = [500]
    world.ran()
    for _ in range(20):
        world.look()
    assert len(receiver.got) == 1  # no time has passed
    pauses = []
    for _ in range(20):
        rows = world.store.rows(notices.select(notices.NOTICES.c.next_s))
        if rows[0].next_s is None:
            break
        pauses.append(rows[0].next_s - world.now_s)
        world.now_s = rows[0].next_s
        world.look()
    assert pauses == pytest.approx([10, 40, 160, 640, 2560, 3600, 3600], abs=1e-3)
    assert len(receiver.got) == 8
    (listed,) = world.call("GET", "/v1/notices").json()["notices"]
    assert (listed["told"], listed["given_up"], listed["problem"]) == (0, 1, "127.0.0.1 answered 500")


@pytest.mark.parametrize(("status", "again"), [(429, True), (410, False), (302, False)])
def test_a_refusal_is_final_and_a_redirect_is_not_followed(world, receiver, status, again):
    world.subscribe("slack", receiver.url)
    receiver.statuses = [status]
    world.ran(BADLY)
    world.look()
    assert json.loads(receiver.got[0][2])["text"].endswith("has failed; exit code 3 &lt;b&gt;")
    (listed,) = world.call("GET", "/v1/notices").json()["notices"]
    assert (listed["due"], listed["given_up"]) == ((1, 0) if again else (0, 1))


def test_an_array_is_told_of_as_one_and_an_overrun_once(world, receiver):
    world.subscribe("webhook", receiver.url, events=["start", "end", "failure", "overrun"])
    alike = {"arguments": (), "environment": {}, "predictions": seen(A=(10, 1)), "content_hash": "h"}
    tasks = tuple(TaskAsked(task=n, **alike) for n in range(3))
    whole = request(predictions=seen(A=(10, 1)))
    name, jobs = world.live.submit_array(ArrayRequest(request=whole, tasks=tasks), world.now_s)
    attempts = world.live.decide(world.now_s)
    world.now_s += 20  # of 10
    for _ in range(2):
        world.look()
        world.now_s += 30
    for attempt in attempts:
        world.look()
        world.live.attempt_finished(attempt.job_id, 1, attempt.token, BADLY, world.now_s)
    world.look()
    told = [(body["event"], body["subject"], body.get("tasks")) for body in bodies(receiver)]
    assert sorted(told, key=str) == [
        ("end", name, {"failed": 3}),
        ("failure", name, None),
        ("overrun", name, None),
        ("start", name, None),
    ]
    assert jobs[0] in {body.get("job_id") for body in bodies(receiver)}


def test_a_deadline_at_risk_is_told_once_to_who_asked(world, receiver):
    world.subscribe("webhook", receiver.url, events=["deadline"])

    def due(in_s, **fields):
        at = datetime.fromtimestamp(world.now_s + in_s, UTC).isoformat()
        asked = request(predictions=seen(A=(1000, 1)), labels={"kilowait/deadline": at}, **fields)
        return world.live.submit(asked, world.now_s)

    runs, late = due(1500, gpus=8), due(1900)  # the second can begin in 1,000 s, and end in 2,000
    due(2500), due(900, user="operator"), world.live.submit(request(predictions=seen(A=(1000, 1))), world.now_s)
    world.live.decide(world.now_s)
    world.look()
    assert [(body["event"], body["job_id"]) for body in bodies(receiver)] == [("deadline", late)]
    assert "is expected to miss its deadline; it is due 20" in bodies(receiver)[0]["text"]
    world.now_s += 1501  # what runs has overrun, and is late now
    world.look()
    world.now_s += 30
    world.look()
    assert {body["job_id"] for body in bodies(receiver)} >= {runs, late}
    assert len({body["job_id"] for body in bodies(receiver)}) == len(bodies(receiver))


def test_a_deadline_at_risk_that_could_not_be_kept_is_told_at_the_next_look(world, receiver, monkeypatch):
    real, broken = notices.note, [True]

    def note(store, rows, seq=None):
        if seq is None and broken.pop():
            raise StoreError("the disk is full")
        real(store, rows, seq)

    monkeypatch.setattr(notices, "note", note)
    world.subscribe("webhook", receiver.url, events=["deadline"])
    at = datetime.fromtimestamp(world.now_s + 900, UTC).isoformat()
    late = world.live.submit(request(predictions=seen(A=(1000, 1)), labels={"kilowait/deadline": at}), world.now_s)
    with pytest.raises(StoreError):
        world.look()
    broken.append(False)
    world.now_s += 30
    world.look()
    assert [body["job_id"] for body in bodies(receiver)] == [late]


def test_a_slow_receiver_of_one_user_keeps_no_other_waiting(world, receiver, monkeypatch):
    real = module.deliver

    def slowly(row, settings, now_s):
        if row["owner"] == "ada":
            time.sleep(1.5)
        real(row, settings, now_s)

    monkeypatch.setattr(module, "deliver", slowly)
    for who in OWNERS:
        world.subscribe("webhook", receiver.url, who, events=["end"])
    for _ in range(4):
        world.ran()
    world.ran(user="operator")
    world.client.portal.call(world.notifier.look)
    world.look()
    assert bodies(receiver)[0]["owner"] == "operator"


def test_what_is_due_to_many_is_looked_at_before_all_that_is_due_to_one(world):
    ids = {who: world.subscribe("webhook", "https://example.org/", who, events=["end"])["notice_id"] for who in OWNERS}
    told, rest = [("ada", n) for n in range(6)] + [("operator", 9)], {"event": "end", "message": "{}"}
    rows = [{"subscription_id": ids[who], "subject": f"j{n}", "owner": who, "made_s": n, **rest} for who, n in told]
    notices.note(world.store, rows)
    found = notices.due(world.store, 100.0, each=2, limit=3)
    assert [(row["owner"], row["subject"]) for row in found] == [("ada", "j0"), ("ada", "j1"), ("operator", "j9")]


def test_what_was_encrypted_with_a_key_that_is_gone_is_listed_and_can_be_removed(world):
    made = world.subscribe("webhook", "https://example.org/secret")
    key = Path(world.status["settings"].secrets_key_file)
    key.unlink()
    new_key(key)
    (listed,) = world.call("GET", "/v1/notices").json()["notices"]
    assert listed["target"] == "(encrypted with another key; remove it)"
    assert world.call("DELETE", f"/v1/notices/{made['notice_id']}").status_code == 204


def test_any_number_of_running_jobs_is_looked_through(world):
    assert notices.jobs_told_of(world.store, [f"job-{n}" for n in range(40_000)]) == {}  # SQLite takes 32,766 at once


def test_who_is_removed_while_notices_are_made_keeps_none_of_ones_others_waiting(world):
    gone, left = (world.subscribe("webhook", "https://example.org/")["notice_id"] for _ in range(2))
    assert world.call("DELETE", f"/v1/notices/{gone}").status_code == 204
    rest = {"event": "end", "message": "{}", "owner": "ada"}
    told = [(gone, n) for n in range(9)] + [(left, 9)]  # made when both were there
    notices.note(world.store, [{"subscription_id": one, "subject": f"j{n}", "made_s": n, **rest} for one, n in told])
    assert [row["subject"] for row in notices.due(world.store, 100.0, each=2, limit=3)] == ["j9"]


def test_mail_goes_to_allowed_domains_by_a_real_server(tmp_path):
    controller = pytest.importorskip("aiosmtpd.controller")

    class Mails(list):
        async def handle_DATA(self, server, session, envelope):  # noqa: N802 - its name
            self.append((envelope.rcpt_tos, envelope.content.decode()))
            return "250 OK"

    mails = Mails()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = controller.Controller(mails, hostname="127.0.0.1", port=port)
    server.start()
    options = {"smtp": f"smtp://127.0.0.1:{port}", "mail_from": "kilowait@lab.org", "mail_domains": ("lab.org",)}
    try:
        with NoticeWorld(tmp_path, **options) as world:
            world.subscribe("mail", "ada@lab.org")
            for wrong in ("ada@elsewhere.org", "ada@lab.org\nBcc: all@lab.org", "ada"):
                asked = {"kind": "mail", "target": wrong}
                assert world.call("POST", "/v1/notices", json=asked).status_code == 422
            job_id = world.ran(BADLY, labels={"kilowait/name": "Überlauf"})
            world.look()
            (listed,) = world.call("GET", "/v1/notices").json()["notices"]
            assert (listed["told"], listed["problem"]) == (1, None)
    finally:
        server.stop()
    ((recipients, text),) = mails
    assert recipients == ["ada@lab.org"]
    assert f"kilowait logs {job_id}" in text
    assert "From: kilowait@lab.org" in text


def test_subscriptions_are_ones_own_bounded_and_can_be_tried_and_removed(world, receiver):
    made = world.subscribe("slack", receiver.url)
    path = f"/v1/notices/{made['notice_id']}"
    assert world.call("GET", "/v1/notices", "reader").json() == {"notices": []}
    world.tokens["bob"] = world.call("POST", "/v1/tokens", "operator", json={"owner": "bob", "role": "submit"}).json()[
        "token"
    ]
    assert world.call("DELETE", path, "bob").status_code == 404
    assert world.call("POST", f"{path}/test").status_code == 202
    world.now_s = time.time()
    world.look()
    assert len(receiver.got) == 1
    assert world.call("DELETE", path).status_code == 204
    world.ran()
    world.look()
    assert len(receiver.got) == 1
    for _ in range(notices.MOST):
        world.subscribe("slack", receiver.url)
    answer = world.call("POST", "/v1/notices", json={"kind": "slack", "target": receiver.url})
    assert (answer.status_code, "limit of one owner" in answer.json()["detail"]) == (422, True)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
        "::1", "::ffff:10.0.0.1", "fd00::1", "fe80::1", "64:ff9b::7f00:1", "2002:7f00:1::", "255.255.255.255",
    ],
)  # fmt: skip
def test_what_only_this_network_reaches_is_not_public(address):
    assert not is_public(address)


def test_nothing_is_sent_to_what_is_not_public_whatever_it_is_called(receiver):
    assert is_public("93.184.215.14")
    port = receiver.server_port
    for host in ("127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0x7f000001", "2130706433"):
        with pytest.raises(NotTold, match=r"no public address|not known"):
            post(f"http://{host}:{port}/", b"{}", {})
    for wrong in ("ftp://a.org/", "file:///etc/passwd", "http://u:p@a.org/", "http://a.org\r\nX: y/", "http:///x", "x"):
        with pytest.raises(InputError, match="url"):
            checked_url(wrong)
    assert receiver.got == []

"""The chat rewriter against a real server on this machine that speaks the chat completions protocol."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kilowait.core.errors import InputError
from kilowait.lab.align.chat import KEY_VARIABLE, ChatRewriter
from kilowait.lab.align.rewriter import Ask, RewriteError

ASK = Ask(source="x = 1\n", example="y = 2\n", facts="- framework: torch")


def completion(content: object, finish: str = "stop") -> dict[str, object]:
    message = {"role": "assistant", "content": content}
    return {"id": "1", "object": "chat.completion", "choices": [{"message": message, "finish_reason": finish}]}


class Server(ThreadingHTTPServer):
    """Answers with `plan` in turn: (status, body, headers)."""

    plan: list[tuple[int, object, dict[str, str]]]
    seen: list[tuple[str, dict[str, str], dict[str, object]]]


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.seen.append((self.path, dict(self.headers), body))
        status, answer, headers = self.server.plan[len(self.server.seen) - 1]
        data = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    one = Server(("127.0.0.1", 0), Handler)
    one.plan, one.seen = [], []
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield one
    one.shutdown()
    thread.join()
    one.server_close()


def rewriter(server: Server, pauses: list[float], **more: object) -> ChatRewriter:
    url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    return ChatRewriter(base_url=url, model="big-coder", sleep=pauses.append, timeout_s=5, **more)  # type: ignore[arg-type]


def test_one_question_one_answer_with_the_key_in_its_header_only(server, monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "sekret")
    server.plan = [(200, completion("```python\nz = 3\n```"), {})]
    assert rewriter(server, []).rewrite(ASK) == "```python\nz = 3\n```"
    ((path, headers, body),) = server.seen
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer sekret"
    assert body["model"] == "big-coder"
    assert body["temperature"] == 0
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
    asked = body["messages"][1]["content"]
    assert all(part in asked for part in ("x = 1", "y = 2", "- framework: torch"))
    assert "sekret" not in json.dumps(body)


def test_overload_is_tried_again_with_growing_pauses_or_as_long_as_asked(server):
    busy = (429, {"error": "slow down"}, {})
    server.plan = [busy, (503, "busy", {"Retry-After": "7"}), (500, "oops", {}), (200, completion("done"), {})]
    pauses: list[float] = []
    assert rewriter(server, pauses).rewrite(ASK) == "done"
    assert pauses == [1.0, 7.0, 4.0]
    assert "Authorization" not in server.seen[0][1]


def test_after_the_last_attempt_the_error_says_what_was_last(server):
    server.plan = [(503, "still busy", {})] * 3
    pauses: list[float] = []
    with pytest.raises(RewriteError, match=r"big-coder@http.* no answer in 3 attempts; the last: 503 .*still busy"):
        rewriter(server, pauses, attempts=3).rewrite(ASK)
    assert len(server.seen) == 3
    assert pauses == [1.0, 2.0]


@pytest.mark.parametrize(("status", "remedy"), [(401, KEY_VARIABLE), (404, "check the address"), (400, "400")])
def test_what_the_caller_must_mend_is_an_error_at_once(server, status, remedy):
    server.plan = [(status, {"error": "no"}, {})]
    with pytest.raises(RewriteError, match=remedy):
        rewriter(server, []).rewrite(ASK)
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("<html>", "not a chat completion: <html>"),
        ({"choices": []}, "not a chat completion"),
        (completion(None), "the answer is empty"),
        (completion("x = ", "length"), "cut off"),
    ],
)
def test_answers_of_another_kind_are_told_apart(server, answer, said):
    server.plan = [(200, answer, {})]
    with pytest.raises(RewriteError, match=said):
        rewriter(server, []).rewrite(ASK)


def test_nobody_listening_is_told_after_all_attempts(server):
    gone = ChatRewriter(base_url="http://127.0.0.1:9", model="m", attempts=2, sleep=lambda s: None)
    with pytest.raises(RewriteError, match="no answer in 2 attempts"):
        gone.rewrite(ASK)


def test_a_key_goes_over_https_or_stays_on_this_machine(monkeypatch):
    monkeypatch.setenv(KEY_VARIABLE, "sekret")
    with pytest.raises(InputError, match="over https only") as caught:
        ChatRewriter(base_url="http://models.example/v1", model="m")
    assert "sekret" not in str(caught.value)
    ChatRewriter(base_url="https://models.example/v1", model="m")
    with pytest.raises(InputError, match="must be like https://host/v1, got 'models'"):
        ChatRewriter(base_url="models", model="m")
    with pytest.raises(InputError, match="holds credentials"):
        ChatRewriter(base_url="https://me:pw@models.example/v1", model="m")

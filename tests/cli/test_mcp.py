"""`kilowait mcp`, spoken to by the SDK's own client over standard input and output."""

import asyncio
import json
import os
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mcp import Client, StdioServerParameters
from mcp.types import ElicitResult

from kilowait.advise.agents.agent_server import agent_server
from kilowait.advise.agents.agent_tools import AgentTools

READING = {"predict", "fits", "what_if", "why", "cluster", "history"}
PREDICTED = {"runtime_s": 600.0, "runtime_low_s": 300.0, "runtime_high_s": 1200.0, "energy_kwh": 0.1}
TYPE = {**PREDICTED, "energy_low_kwh": 0.05, "energy_high_kwh": 0.2, "features": "dry-run", "provenance": "modelled"}
NEED = {"fitting": "fits", "expected_bytes": 3e9, "high_bytes": 4e9}
HISTORY = (
    "job_id,attempt,owner,labels,gpu_type,gpus,placed_s,ended_s,predicted_runtime_s,predicted_energy_j,runtime_s,energy_j,"
    "energy_provenance\njob-1,1,ada,{},A100,2,0,3600,3600,1080000,3600,720000,measured\n"
    "job-2,1,bob,{},A100,1,0,3600,3600,1080000,3600,,\n"
)


class Service(BaseHTTPRequestHandler):
    """A service's answers, as far as the tools read them; what was asked is kept."""

    def do_GET(self):
        self._answer({"/v1/history": HISTORY, "/v1/cluster": {"types": [], "policy": "simple"}})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append((self.path, self.headers.get("Idempotency-Key"), body))
        predicted = {"content_hash": "ab", "dry_run": "whole", "probe_version": "p", "by_type": {"A100": TYPE}}
        answers = {"/v1/predict": predicted | {"memory_needs": {"A100": NEED}}, "/v1/jobs": {"job_id": "job-00000007"}}
        self._answer(answers | {"/v1/what-if": {"waiting": 3}})

    def _answer(self, answers):
        found = answers.get(self.path.partition("?")[0])
        text = found if isinstance(found, str) else json.dumps(found or {"detail": "no such job", "remedy": "see ps"})
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("agent")
    (folder / "root").mkdir()
    (folder / "root" / "train.py").write_text("print('trained')\n")
    (folder / "secret.py").write_text("print('mine')\n")
    (folder / "root" / "link.py").symlink_to(folder / "secret.py")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield folder / "root", server
    server.shutdown()
    server.server_close()


def address(service):
    return f"http://127.0.0.1:{service.server_address[1]}"


def started(place):
    """How a client starts the server."""
    root, service = place
    environment = {"KILOWAIT_URL": address(service), "PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    words = ["-m", "kilowait", "mcp", "--root", str(root), "--allow-submit"]
    return StdioServerParameters(command=sys.executable, args=words, env=environment)


def spoken(server, steps, *, answer=None, mode="auto"):
    """Run `steps` with a client of the server; `answer` is the person's, None for a client that cannot ask.

    The mode `legacy` is the protocol of 2025.
    """
    heard = []

    async def asked(_, question):
        heard.append(question.message)
        return answer

    async def talk():
        more = {"elicitation_callback": asked} if answer else {}
        async with Client(server, read_timeout_seconds=120, mode=mode, **more) as client:
            return await steps(client)

    return asyncio.run(talk()), heard


def inside(place, *, may_submit=True):
    """The server in this process, spoken to without a pipe."""
    return agent_server(AgentTools(root=place[0], url=address(place[1]), token=None), may_submit=may_submit)


@contextmanager
def unchanged(service):
    before = len(service.asked)
    yield
    assert [path for path, _, _ in service.asked[before:] if path == "/v1/jobs"] == []


def test_the_tools_read_and_answer_with_numbers_that_say_how_they_were_had(place):
    async def steps(client):
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        calls = {
            "predict": {"path": "train.py", "gpu_types": ["A100"], "arguments": ["--epochs", "3"]},
            "fits": {"path": "train.py", "gpu_types": ["A100"]},
            "what_if": {"path": "train.py"},
            "cluster": {},
            "history": {"owner": "ada"},
        }
        return tools, {name: await client.call_tool(name, given) for name, given in calls.items()}

    with unchanged(place[1]):
        (tools, answers), _ = spoken(started(place), steps)
    assert tools.keys() == READING | {"submit"}
    assert {name for name, tool in tools.items() if tool.annotations.read_only_hint} == READING
    found = {name: answer.structured_content for name, answer in answers.items()}
    assert found["predict"]["by_type"]["A100"]["runtime_high_s"] == 1200
    assert "modelled by the service" in found["predict"]["by_type"]["A100"]["provenance"]
    assert found["fits"]["by_type"] == {"A100": {"fitting": "fits", "memory_bytes": 3e9, "memory_high_bytes": 4e9}}
    assert (found["what_if"]["waiting"], found["cluster"]["policy"]) == (3, "simple")
    assert found["history"]["total"]["energy_kwh"] == {"measured": 0.2, "estimated": 0, "modelled": 0}
    asked = {path: body for path, _, body in place[1].asked}
    assert asked["/v1/what-if"]["entrypoint"] == "train.py"


def test_what_goes_wrong_is_said_and_no_file_outside_of_the_folder_is_read(place):
    async def steps(client):
        assert {tool.name for tool in (await client.list_tools()).tools} == READING
        paths = ("../secret.py", "link.py", str(place[0].parent / "secret.py"), "none.py")
        wrong = [await client.call_tool("predict", {"path": path}) for path in paths]
        return [*wrong, await client.call_tool("why", {"job_id": "job-9"})]

    answers, _ = spoken(inside(place, may_submit=False), steps)
    assert all(answer.is_error for answer in answers)
    said = [answer.content[0].text for answer in answers]
    assert all("outside of" in text and "--root" in text for text in said[:3])
    assert "no such file" in said[3]
    assert said[4].endswith("no such job; see ps")


@pytest.mark.parametrize(
    ("answer", "mode", "submitted"),
    [
        (ElicitResult(action="accept", content={"submit": True}), "auto", True),
        (ElicitResult(action="accept", content={"submit": True}), "legacy", True),
        (ElicitResult(action="accept", content={"submit": False}), "auto", False),
        (ElicitResult(action="decline"), "legacy", False),
        (None, "auto", False),  # a client that cannot ask its person
        (None, "legacy", False),
    ],
)
def test_nothing_is_submitted_that_a_person_has_not_confirmed(place, answer, mode, submitted):
    over_stdio = submitted and mode == "auto"

    async def steps(client):
        assert {tool.name for tool in (await client.list_tools()).tools} == READING | {"submit"}
        try:
            return await client.call_tool("submit", {"path": "train.py", "gpus": 2, "gpu_types": ["A100"]})
        except Exception as error:
            return error

    before = len(place[1].asked)
    found, heard = spoken(started(place) if over_stdio else inside(place), steps, answer=answer, mode=mode)
    jobs = [(key, body) for path, key, body in place[1].asked[before:] if path == "/v1/jobs"]
    assert len(jobs) == submitted
    if answer:
        assert "Submit train.py" in heard[0]
        assert "2 GPU(s) of A100" in heard[0]
    if submitted:
        assert found.structured_content == {"job_id": "job-00000007"}
        assert (jobs[0][1]["gpus"], jobs[0][1]["source"]) == (2, "print('trained')\n")
        assert len(jobs[0][0]) == 32


def test_what_the_person_reads_tells_an_agents_words_from_the_question(place):
    arguments = ["8?\nIt was agreed to submit", "\x1b[2K"]

    async def steps(client):
        await client.call_tool("submit", {"path": "train.py", "arguments": arguments})

    _, heard = spoken(inside(place), steps, answer=ElicitResult(action="decline"))
    assert heard[0].startswith(r"Submit train.py '8?\nIt was agreed to submit' '\x1b[2K' (")

"""The MCP server over standard input and output, by the official SDK."""

import hashlib
import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from mcp.server.mcpserver import AcceptedElicitation, Elicit, ElicitationResult, MCPServer, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations

from kilowait import __version__
from kilowait.advise.agents.agent_tools import AgentTools
from kilowait.advise.agents.confirmation import Confirmation
from kilowait.core.control_characters import escaped
from kilowait.core.errors import KilowaitError

INSTRUCTIONS = """\
kilowait predicts run time, energy and memory of ML programs on GPU types, and schedules them on mixed GPUs. Start with
`predict` or `fits` (they execute the program dry, on fake tensors, without a GPU), then `what_if` for when it would
start. Numbers are modelled unless they say measured, estimated or pretended; pass that on with them, and the interval.
"""
READS = ToolAnnotations(read_only_hint=True, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
SUBMITS = ToolAnnotations(read_only_hint=False, destructive_hint=False, idempotent_hint=True, open_world_hint=False)
NONE: Sequence[str] = ()


def agent_server(tools: AgentTools, *, may_submit: bool) -> MCPServer[Any]:
    """The server with the tools that read, and `submit` where that is allowed."""
    server: MCPServer[Any] = MCPServer("kilowait", instructions=INSTRUCTIONS, version=__version__, log_level="WARNING")
    _add_advice(server, tools)
    _add_service(server, tools)
    if may_submit:
        _add_submit(server, tools)
    return server


def _add_advice(server: MCPServer[Any], tools: AgentTools) -> None:
    @server.tool(annotations=READS)
    def predict(
        path: str, arguments: Sequence[str] = NONE, gpu_types: Sequence[str] = NONE, gpus: int | None = None
    ) -> dict[str, Any]:
        """Seconds, kWh, memory and 90% intervals of a Python program on each GPU type, before it runs.

        `path` is relative to the server's folder, `arguments` are the program's own; without `gpu_types`: A100, A6000.
        """
        return _answer(lambda: tools.predict(path, arguments, gpu_types, gpus))

    @server.tool(annotations=READS)
    def fits(
        path: str, arguments: Sequence[str] = NONE, gpu_types: Sequence[str] = NONE, gpus: int | None = None
    ) -> dict[str, Any]:
        """Whether a program's memory is enough on each GPU type: fits, close, or does not fit."""
        return _answer(lambda: tools.fits(path, arguments, gpu_types, gpus))


def _add_service(server: MCPServer[Any], tools: AgentTools) -> None:
    @server.tool(annotations=READS)
    def what_if(
        path: str, arguments: Sequence[str] = NONE, gpu_types: Sequence[str] = NONE, gpus: int | None = None
    ) -> dict[str, Any]:
        """When a program would start and end on each GPU type if it were submitted now; nothing is submitted."""
        return _answer(lambda: tools.what_if(tools.job(path, arguments, gpu_types, gpus)))

    @server.tool(annotations=READS)
    def why(job_id: str) -> dict[str, Any]:
        """Why a job waits, or why it got its GPU type, and what would change that."""
        return _answer(lambda: tools.why(job_id))

    @server.tool(annotations=READS)
    def cluster() -> dict[str, Any]:
        """The GPUs by type, the nodes, and how many jobs run and wait."""
        return _answer(tools.cluster)

    @server.tool(annotations=READS)
    def history(owner: str | None = None) -> dict[str, Any]:
        """GPU-hours and energy of jobs that have ended, what they asked for in vain, and the newest attempts."""
        return _answer(lambda: tools.history(owner))


def _add_submit(server: MCPServer[Any], tools: AgentTools) -> None:
    def confirmed(
        path: str, arguments: Sequence[str] = NONE, gpu_types: Sequence[str] = NONE, gpus: int | None = None
    ) -> Elicit[Confirmation]:
        job = _answer(lambda: tools.job(path, arguments, gpu_types, gpus))
        words = escaped(shlex.join([path, *arguments]))  # the person sees what are words of the program, and no more
        where = ", ".join(job.get("gpu_types") or ()) or "any type it may use"
        count = f"{gpus} GPU(s)" if gpus else "the GPUs that it asks for"
        return Elicit(f"Submit {words} ({_key(job)[:12]}) to {tools.url}, {count} of {where}?", Confirmation)

    @server.tool(annotations=SUBMITS)
    def submit(
        path: str,
        answer: Annotated[ElicitationResult[Confirmation], Resolve(confirmed)],
        arguments: Sequence[str] = NONE,
        gpu_types: Sequence[str] = NONE,
        gpus: int | None = None,
    ) -> dict[str, Any]:
        """Submit a program to the service; the person at the client is asked first. The same program is one job."""
        if not (isinstance(answer, AcceptedElicitation) and answer.data.submit):
            raise ToolError("not submitted: the person at the client did not confirm it; do not ask again unasked")
        job = _answer(lambda: tools.job(path, arguments, gpu_types, gpus))
        return _answer(lambda: tools.submit(job, _key(job)))


def _key(job: Mapping[str, Any]) -> str:
    """The same for the same program and options: what was confirmed is what is submitted, once."""
    return hashlib.sha256(json.dumps(job, sort_keys=True).encode()).hexdigest()[:32]


def _answer(ask: Any) -> dict[str, Any]:
    try:
        return dict(ask())
    except KilowaitError as error:
        raise ToolError(str(error)) from error

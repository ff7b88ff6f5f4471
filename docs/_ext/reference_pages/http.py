"""The HTTP API, from the OpenAPI document of the application. No Ray is started: the routes are built over nothing."""

from importlib import import_module
from types import SimpleNamespace
from typing import Any

from . import commands, parsers

HEAD = """# HTTP API

Written from the OpenAPI document, which the service serves as `/v1/openapi.json`. Send a token as
`Authorization: Bearer kw_...`. An error is a problem document (RFC 9457) that says what is wrong and what to do.
"""


def document() -> dict[str, Any]:
    """The OpenAPI document of the service."""
    routes = import_module(f"{parsers.shell('serve')}.api.routes")
    found: dict[str, Any] = routes.build(SimpleNamespace(), SimpleNamespace()).openapi()
    return found


def page() -> str:
    """Every route with its parameters and bodies, then every schema."""
    found = document()
    parts = [HEAD, "## Routes\n"]
    for path, methods in found["paths"].items():
        parts += [route(path, method, operation) for method, operation in methods.items()]
    parts.append("## Schemas\n")
    parts += [schema(name, found["components"]["schemas"][name]) for name in sorted(found["components"]["schemas"])]
    return "\n".join(parts)


def route(path: str, method: str, operation: dict[str, Any]) -> str:
    """One method of a path."""
    parts = [
        f"### {method.upper()} {path}\n",
        _plain(operation.get("description", operation.get("summary", ""))) + "\n",
    ]
    if "requestBody" in operation:
        parts.append(f"Body: {_kind(_json(operation['requestBody']['content']))}.\n")
    rows = [_parameter(one) for one in operation.get("parameters", ()) if one["name"] != "authorization"]
    if rows:
        parts.append("\n".join(["| parameter | in | type | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n")
    for status, answer in operation["responses"].items():
        if status.isdigit() and "content" in answer:
            parts.append(f"Answer {status}: {_kind(_json(answer['content']))}.\n")
    return "\n".join(parts)


def schema(name: str, body: dict[str, Any]) -> str:
    """One schema as a table of its fields."""
    required = body.get("required", ())
    rows = [
        f"| `{field}` | {_kind(one)} | {'yes' if field in required else 'no'} | {_plain(one.get('description', ''))} |"
        for field, one in body.get("properties", {}).items()
    ]
    head = f"({_anchor(name)})=\n### {name}\n\n{_plain(body.get('description', ''))}\n"
    if not rows:
        return head + (f"One of: {', '.join(f'`{value}`' for value in body['enum'])}.\n" if "enum" in body else "")
    return head + "\n" + "\n".join(["| field | type | required | meaning |", "| --- | --- | --- | --- |", *rows]) + "\n"


def _anchor(name: str) -> str:
    return f"schema-{name}".lower().replace("_", "-")


def _json(content: dict[str, Any]) -> dict[str, Any]:
    return next(iter(content.values())).get("schema", {})


def _parameter(one: dict[str, Any]) -> str:
    what = _plain(one.get("description", "")) or ("required" if one.get("required") else "")
    return f"| `{one['name']}` | {one['in']} | {_kind(one['schema'])} | {what} |"


def _kind(one: dict[str, Any]) -> str:
    """A type in a few words, with a link to its schema."""
    if "$ref" in one:
        name = one["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{_anchor(name)})"
    if "anyOf" in one:
        return " or ".join(_kind(part) for part in one["anyOf"])
    if "enum" in one:
        return ", ".join(f"`{value}`" for value in one["enum"])
    if one.get("type") == "array":
        return f"list of {_kind(one.get('items', {}))}"
    if isinstance(one.get("additionalProperties"), dict):
        return f"object of {_kind(one['additionalProperties'])}"
    return str(one.get("format") or one.get("const") or one.get("type", "anything"))


def _plain(text: str) -> str:
    return commands.escaped(" ".join(text.split())).replace("|", "\\|")

"""`/v1` as each release described it is all there still, so its clients go on: docs/explanation/versions.md."""

import copy
import json
from pathlib import Path
from unittest.mock import Mock

import pytest

from serve.api.routes import build

RELEASES = sorted((Path(__file__).parent / "releases").glob("openapi-*.json"))


@pytest.fixture(scope="module")
def present():
    return build(Mock(), Mock()).openapi()


@pytest.fixture(params=RELEASES, ids=lambda file: file.stem)
def earlier(request):
    return json.loads(request.param.read_text())


def test_what_a_release_described_is_still_there(earlier, present):
    assert broken(earlier, present) == []


def broken(old, new):
    """What a client of the old description would miss, a line each."""
    found = []
    for path, methods in old["paths"].items():
        for method, was in methods.items():
            now = new["paths"].get(path, {}).get(method)
            if now is None:
                found.append(f"{method} {path} is gone")
                continue
            where = f"{method} {path}"
            found += parameters(was.get("parameters", []), now.get("parameters", []), where)
            for kind, body in was.get("requestBody", {}).get("content", {}).items():
                new_body = now["requestBody"]["content"].get(kind, {})
                found += schema(
                    body.get("schema", {}), new_body.get("schema", {}), (old, new), f"{where} asks", asks=True
                )
            for code, answer in was["responses"].items():
                for kind, body in answer.get("content", {}).items():
                    new_body = now["responses"].get(code, {}).get("content", {}).get(kind)
                    if new_body is None:
                        found.append(f"{where}: no answer {code} as {kind}")
                        continue
                    at = f"{where} {code}"
                    found += schema(body.get("schema", {}), new_body.get("schema", {}), (old, new), at, asks=False)
    return found


def parameters(old, new, where):
    was, now = ({(p["in"], p["name"]): p.get("required", False) for p in side} for side in (old, new))
    gone = [f"{where}: parameter {key[1]} is gone" for key in was if key not in now]
    needed = [f"{where}: parameter {key[1]} is needed now" for key in now if now[key] and not was.get(key)]
    return gone + needed


def schema(old, new, documents, where, *, asks):
    """Fields that are gone or of another type; in a question, also those that are newly required."""
    old, new = (resolved(side, document) for side, document in zip((old, new), documents, strict=True))
    was, now = kinds(old), kinds(new)
    fits = was <= now if asks else now <= was or not was  # no type at all is any
    found = [] if fits else [f"{where}: {sorted(was)} became {sorted(now)}"]
    for name, part in old.get("properties", {}).items():
        if name not in new.get("properties", {}):
            found.append(f"{where}: {name} is gone")
        else:
            found += schema(part, new["properties"][name], documents, f"{where}.{name}", asks=asks)
    missing = set(old.get("required", ())) - set(new.get("required", ()))
    needed = set(new.get("required", ())) - set(old.get("required", ()))
    found += [f"{where}: {name} is needed now" for name in needed if asks]
    found += [f"{where}: {name} may be missing now" for name in missing if not asks]
    for inner in ("items", "additionalProperties"):
        if isinstance(old.get(inner), dict) and isinstance(new.get(inner), dict):
            found += schema(old[inner], new[inner], documents, f"{where}[]", asks=asks)
    for either, again in zip(old.get("anyOf", ()), new.get("anyOf", ()), strict=False):
        found += schema(either, again, documents, where, asks=asks)
    return found


def resolved(part, document):
    while "$ref" in part:
        part = document["components"]["schemas"][part["$ref"].rpartition("/")[2]]
    return part


def kinds(part):
    """The JSON types that a value may have."""
    if "anyOf" in part:
        return {one.get("type", "object") for one in part["anyOf"]}
    return {part["type"]} if "type" in part else set()


def edited(document, change):
    other = copy.deepcopy(document)
    change(other)
    return other


def views(document):
    return document["components"]["schemas"]


NULL = {"anyOf": [{"type": "boolean"}, {"type": "null"}]}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda d: d["paths"].pop("/v1/jobs"), "get /v1/jobs is gone"),
        (lambda d: views(d)["PredictionView"]["properties"].pop("cached"), "post /v1/predict 200: cached is gone"),
        (lambda d: views(d)["PredictionView"]["required"].remove("cached"), "cached may be missing now"),
        (lambda d: views(d)["PredictionView"]["properties"]["cached"].update(type="string"), "became ['string']"),
        (lambda d: views(d)["PredictionView"]["properties"]["cached"].update(NULL), "became ['boolean', 'null']"),
        (lambda d: views(d)["SourceBody"]["properties"].pop("name"), "post /v1/predict asks: name is gone"),
        (lambda d: views(d)["SourceBody"]["required"].append("name"), "post /v1/predict asks: name is needed now"),
    ],
)
def test_the_comparison_finds_what_breaks_a_client(present, change, complaint):
    assert any(complaint in line for line in broken(present, edited(present, change)))


def test_the_comparison_lets_it_grow(present):
    def grow(document):
        document["paths"]["/v1/new"] = {}
        views(document)["PredictionView"]["properties"]["new"] = {"type": "string"}
        views(document)["SourceBody"]["properties"]["new"] = {"type": "string"}

    assert broken(present, edited(present, grow)) == []

"""Submissions that mean harm or are broken, over real HTTP: each is taken or refused by name, and none is a fault."""

import base64
import io
import zipfile

import pytest
import requests

from tests.support.fuzzed_service import fuzzed_service

P = "print(1)"
TAKEN, REFUSED, TOO_LARGE = 201, 422, 413


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    with fuzzed_service(tmp_path_factory.mktemp("hostile")) as (address, tokens):
        yield address, {"Authorization": f"Bearer {tokens['ada']}"}


def packed(*members, method=zipfile.ZIP_DEFLATED, damage=()):
    """A zip of (name, text) in base64; `damage` flips the bytes at some places."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, text in members:
            archive.writestr(name, text)
    raw = bytearray(buffer.getvalue())
    for place in damage:
        raw[place] ^= 0xFF
    return base64.b64encode(raw).decode()


def archive(*members, entrypoint="m.py", **more):
    return {"archive": packed(*members, **more), "entrypoint": entrypoint}


def link():
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, 0xA1FF0000
    return info


MAIN = ("m.py", P)
SENT = {
    "markup in a name": ({"source": P, "entrypoint": "<img src=x onerror=alert(1)>.py"}, TAKEN),
    "markup in labels": ({"source": P, "labels": {"team": "<script>"}}, TAKEN),
    "escapes in a name": ({"source": P, "entrypoint": "a\nb\x1b[31m.py"}, REFUSED),
    "escapes in arguments": ({"source": P, "arguments": ["x\ny", "\x1b]0;owned\x07"]}, TAKEN),
    "a path upwards": ({"source": P, "entrypoint": "../../evil.py"}, REFUSED),
    "an absolute path": ({"source": P, "entrypoint": "/tmp/evil.py"}, REFUSED),
    "a folder": ({"source": P, "entrypoint": "a/"}, REFUSED),
    "no name": ({"source": P, "entrypoint": ""}, REFUSED),
    "a dot": ({"source": P, "entrypoint": "."}, REFUSED),
    "an option": ({"source": P, "entrypoint": "-c"}, REFUSED),
    "a name of 394 bytes": ({"source": P, "entrypoint": "\xe4" * 197 + ".py"}, REFUSED),
    "a folder of 300 bytes": (archive(("x" * 300 + "/m.py", P), MAIN), REFUSED),
    "a file that is a folder": (archive(("a", P), ("a/b.py", P), MAIN), REFUSED),
    "a member upwards": (archive(("../x.py", P), MAIN), REFUSED),
    "a member at the root": (archive(("/etc/x.py", P), MAIN), REFUSED),
    "a backslash": (archive(("..\\x.py", P), MAIN), REFUSED),
    "a link": (archive((link(), "/etc/passwd"), MAIN), REFUSED),
    "more than is unpacked": (archive(*((f"z{n}", "0" * 7_000_000) for n in range(3)), MAIN), TOO_LARGE),
    "a method without a bound": (archive(MAIN, method=zipfile.ZIP_LZMA), REFUSED),
    "another one": (archive(MAIN, method=zipfile.ZIP_BZIP2), REFUSED),
    "damaged data": (archive(("m.py", P * 500), damage=[40]), REFUSED),
    "501 files": (archive(*((f"d{n}.py", "") for n in range(501)), entrypoint="d0.py"), TOO_LARGE),
    "no base64": ({"archive": "###", "entrypoint": "m.py"}, REFUSED),
    "no ASCII": ({"archive": "\xe9", "entrypoint": "m.py"}, REFUSED),
    "no zip": ({"archive": "aGk=", "entrypoint": "m.py"}, REFUSED),
    "both": ({"source": P, "archive": "aGk="}, REFUSED),
    "a label of 100 KB": ({"source": P, "labels": {"a": "x" * 100_000}}, REFUSED),
    "65 labels": ({"source": P, "labels": {f"k{n}": "v" for n in range(65)}}, REFUSED),
    "a reserved label": ({"source": P, "labels": {"kilowait/deadline": "x"}}, REFUSED),
    "a text with half a character": ({"source": "print('\ud800')"}, REFUSED),
    "a text with a zero byte": ({"source": "print(1)\0"}, REFUSED),
    "an empty text": ({"source": "  \n"}, REFUSED),
    "a comment of 1 MB": ({"source": "#" * 1_000_000}, REFUSED),
    "a line of 400 KB": ({"source": "x=1" + "+1" * 200_000}, REFUSED),
    "5,000 brackets": ({"source": "(" * 5000 + ")" * 5000}, TAKEN),
    "90,000 open brackets": ({"source": "x=" + "[" * 90_000}, TAKEN),
    "a variable of 5 MB": ({"source": P, "environment": {"A": "x" * 5_000_000}}, REFUSED),
    "a variable with a zero byte": ({"source": P, "environment": {"A": "\0"}}, REFUSED),
    "a variable with half a character": ({"source": P, "environment": {"A": "\udc80"}}, REFUSED),
    "an argument with half a character": ({"source": P, "arguments": ["\ud800"]}, REFUSED),
    "a label with half a character": ({"source": P, "labels": {"a": "\ud800"}}, REFUSED),
    "a variable's name with =": ({"source": P, "environment": {"A=B": "1"}}, REFUSED),
    "an argument of 3 MB": ({"source": P, "arguments": ["x" * 3_000_000]}, REFUSED),
    "10,000 types": ({"source": P, "gpu_types": ["A100"] * 10_000}, REFUSED),
    "a type that is none": ({"source": P, "gpu_types": ["\0"]}, REFUSED),
    "a priority of 31 digits": ({"source": P, "priority": 10**30}, REFUSED),
    "memory of 71 bits": ({"source": P, "memory_bytes": 2**70}, REFUSED),
    "a time before all times": ({"source": P, "deadline": "0001-01-01T00:00:00+14:00"}, TAKEN),
    "an endless time": ({"source": P, "timeout_s": 1e308}, REFUSED),
    "a variable that a dry run has not": (
        {"source": "import os\nos.environ['DATA']", "environment": {"DATA": "/d"}},
        TAKEN,
    ),
    "what never ends": ({"source": "import time\nwhile True: time.sleep(1)"}, TAKEN),
}


@pytest.mark.parametrize("what", SENT)
def test_it_is_taken_or_refused_by_name(service, what):
    (address, headers), (body, status) = service, SENT[what]
    answer = requests.post(f"{address}/v1/jobs", json=body, headers=headers, timeout=300)
    assert answer.status_code == status, answer.text
    if status == TAKEN:
        shown = requests.get(address + answer.headers["Location"], headers=headers, timeout=300)
        assert (shown.status_code, shown.json()["state"]) == (200, "finished")
    else:
        refusal = answer.json()
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert refusal["field"], refusal
        assert refusal["remedy"]
        assert all(text.isprintable() for text in (refusal["detail"], refusal["remedy"], refusal["field"]))

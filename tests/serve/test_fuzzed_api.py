"""schemathesis with every check it has: the API does what its own description says, and nothing ends as an error of it.

The requests are the same in every run. What a check cannot know is told in `CONFIG`, each with its reason.
"""

import json
import os
import re
import subprocess
import sys
from unittest.mock import Mock

import pytest

from serve.api.routes import build
from tests.support.examples import examples
from tests.support.fuzzed_service import fuzzed_service

UNSAYABLE = {
    "POST /v1/jobs": "a text that can be run, an archive that can be unpacked, one of the two; types that are there",
    "POST /v1/jobs:batch": "as POST /v1/jobs",
    "POST /v1/arrays": "as POST /v1/jobs; numbers that go up, and rows of the same names, as many as numbers",
    "POST /v1/notices": "its target may be told; with no key of the operator there are no webhooks",
    "PUT /v1/secrets/{name}": "its name is one of a variable; without a key of the operator's there are no secrets",
    "PUT /v1/nodes/{node}/maintenance": "it ends after it begins",
    "PUT /v1/power-budget": "each time of the day stands once, and boards draw less at rest",
    "PUT /v1/reservations/{name}": "it ends later than now and than it begins, for users or projects that are there",
    "PUT /v1/quotas/{name}": "whoever names administrators names members, and a bound on costs needs prices",
    "DELETE /v1/quotas/{name}/members/{member}": "the last member stays",
    "POST /v1/shells": "types, secrets and environments that are there, an image that the operator allows",
    "POST /v1/what-if": "as POST /v1/jobs",
    "POST /v1/predict": "a text that is no empty one, and none that another language is written in",
    "DELETE /v1/tokens/{token_id}": "the last operator's is revoked with force only",
    "POST /v1/tokens": "an owner's name is printable, as Unicode has it: no pattern says so",
    "POST /v1/models/{version}/promote": "so is a reason, here and of a rollback",
}
"""Operations that refuse, with 422, what their description allows, and what the description cannot say."""

REFUSED = ["2xx", "3xx", "401", "403", "404", "409", "422", "429"]
"""Answers to what the description allows; schemathesis takes a 5xx, too, and other checks do not."""

CONFIG = """
[generation]  # a user's token is sent with every request, so one without is none
with-security-parameters = false

[checks]
enabled = true
max_response_time = 60  # a machine may be busy

[checks.negative_data_rejection]  # 413: a body of more than 8 MB is not read, so whatever else is wrong is not told
expected-statuses = ["400", "401", "403", "404", "405", "409", "413", "422", "429"]

[[operations]]  # GET there is GET /v1/models/{version}, of a version of that name
include-path = "/v1/models/rollback"
checks.allow_header_conformance.enabled = false
checks.positive_data_acceptance.expected-statuses = ["2xx", "401", "403", "404", "409", "422"]  # as UNSAYABLE

[phases.stateful]
generation.max-examples = {sequences}

[auth.wfc]
path = "users.json"
peers = ["ada", "bob"]  # who must not see each other's jobs
"""
OPERATION = """
[[operations]]
include-name = {name}
checks.positive_data_acceptance.expected-statuses = {statuses}  # {reason}
"""
MOST_EXAMPLES, SEQUENCES = 40, 100
"""Of each operation and phase, and of calls that follow each other; the suite tries a quarter, as of properties. What
the description itself bounds is tried one by one, whatever stands here."""


@pytest.fixture
def asked(tmp_path):
    """Let schemathesis ask the service as some users; returns (exit code, what it said)."""

    def ask(*owners):
        with fuzzed_service(tmp_path) as (address, tokens):
            headers = {name: [{"name": "Authorization", "value": f"Bearer {tokens[name]}"}] for name in owners}
            users = {"auth": [{"name": name, "fixedHeaders": value} for name, value in headers.items()]}
            (tmp_path / "users.json").write_text(json.dumps(users))
            operations = [
                OPERATION.format(name=json.dumps(name), statuses=json.dumps(REFUSED), reason=reason)
                for name, reason in UNSAYABLE.items()
            ]
            configuration = CONFIG.replace("{sequences}", str(examples(SEQUENCES)))
            (tmp_path / "schemathesis.toml").write_text(configuration + "".join(operations))
            words = [sys.executable, "-m", "schemathesis.cli", "run", f"{address}/v1/openapi.json"]
            words += ["--max-examples", f"{examples(MOST_EXAMPLES)}", "--generation-deterministic"]
            words += ["--continue-on-failure", "--no-color", "--request-timeout", "60"]
            done = subprocess.run(
                words, cwd=tmp_path, env={**os.environ, "COLUMNS": "120"}, capture_output=True, text=True
            )
        return done.returncode, done.stdout + done.stderr

    return ask


def test_every_check_of_schemathesis_holds(asked):
    code, said = asked("ada", "bob", "operator")
    assert code == 0, said
    described = build(Mock(), Mock()).openapi()["paths"]
    assert int(re.search(r"Tested: (\d+)", said)[1]) == sum(len(methods) for methods in described.values())

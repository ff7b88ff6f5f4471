"""What a service says of a job: it has its models loaded, and remembers the programs that it has seen."""

from collections.abc import Mapping
from typing import Any

from kilowait.advise.advice import NUMBERS, Advice, OnType
from kilowait.advise.asking import AdviceQuestion
from kilowait.client.client import Client
from kilowait.core.errors import InputError
from kilowait.core.jobs import Prediction
from kilowait.predict.standin import MARK
from kilowait.program.resources import read_request
from kilowait.program.text import texts

PATIENCE_S = 5.0
"""How long a busy service is asked again."""
ANSWER_S = 20.0
"""How long its answer is waited for: about as long as this process would take by itself."""


def advice_by_service(question: AdviceQuestion, url: str, token: str | None) -> Advice:
    """What the service at `url` predicts; raises ServiceError, and InputError for what it does not take.

    It runs programs dry under its own Python; a program that starts in another folder than its files' is not asked for.
    """
    reading = question.reading
    source = reading.source
    if source.folder != ".":
        raise InputError(f"{reading.name}: starts in {source.folder}, which a service is not told")
    if not question.interpreter.is_own:
        raise InputError(f"{reading.name}: runs under {question.interpreter.name}, which a service does not have")
    request = read_request(texts(source), reading.words, gpus=question.gpus)
    files = {path: data.decode("utf-8-sig") for path, data in source.files.items()}
    asked = {
        "source": files.pop(source.entrypoint),
        "name": source.entrypoint,
        "files": files,
        "arguments": list(source.arguments),
        "environment": {name: value for name, value in source.environment.items() if value is not None},
        "gpus": request.gpus,
        "gpu_types": list(question.gpu_types),
    }
    answer = Client(url, token, patience_s=PATIENCE_S, answer_s=ANSWER_S).ask("POST", "/v1/predict", json=asked)
    return Advice(
        program=reading.name,
        content_hash=answer["content_hash"],
        gpus=request.gpus,
        gpu_types=request.gpu_types,
        by_type=_by_type(question, answer, request.gpus, url),
        dry_run=answer["dry_run"],
        assumptions=tuple(reading.notes),
        beside=reading.beside,
        evidence=request.evidence,
        version=answer["probe_version"],
    )


def _by_type(question: AdviceQuestion, answer: Mapping[str, Any], gpus: int, url: str) -> dict[str, OnType]:
    """The types that were asked for; a stand-in, which knows nothing of the program, is none."""
    found = {}
    for name, expected in answer["by_type"].items():
        if MARK in expected["features"] or (question.gpu_types and name not in question.gpu_types):
            continue
        prediction = Prediction(**{end: expected[end] for end in NUMBERS}, probe_version=answer["probe_version"])
        need = answer["memory_needs"].get(name, {})
        found[name] = OnType(
            prediction=prediction,
            provenance=f"{expected['provenance']} by the service at {url}",
            fitting=need.get("fitting", ""),
            memory_bytes=need.get("expected_bytes"),
            memory_high_bytes=need.get("high_bytes"),
            cost=question.cost(prediction, name, gpus),
        )
    return found

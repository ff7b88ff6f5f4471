"""Requests in one line, for tests of the live scheduler."""

from kilowait.core.jobs import Job, Prediction
from kilowait.core.submission import Program, Request, Retry


def seen(**by_type):
    """seen(A=(10, 0.5)): 10 s and 0.5 kWh on A."""
    return {t: Prediction(runtime_s=s, energy_kwh=kwh) for t, (s, kwh) in by_type.items()}


def request(key=None, *, text="pass", retry=None, predictions=None, labels=None, program=None, **fields):
    """A job of one GPU that asks for 10 s on A and 20 s on B."""
    return Request(
        job=Job(job_id="", submit_s=0.0, **{"user": "ada", **fields}),
        predictions=predictions or seen(A=(10, 1), B=(20, 0.5)),
        program=program or Program(files={"main.py": text}, entrypoint="main.py"),
        client_key=key,
        labels=labels or {},
        retry=retry or Retry(),
    )

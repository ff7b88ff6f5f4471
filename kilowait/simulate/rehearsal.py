"""A policy's first decision, before anybody waits for it."""

from kilowait.core.jobs import Job, Prediction
from kilowait.policies import Policy
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission


def rehearse(policy: Policy) -> None:
    """Let a policy decide for one job on one GPU, so that what it loads or compiles at its first decision is there."""
    truth = {"A100": Prediction(runtime_s=1.0, energy_kwh=0.0)}
    simulate([Submission(job=Job(job_id="first", submit_s=0.0), truth=truth, seen=truth)], {"A100": 1}, policy)

"""Jobs in one line, and what became of them."""

from kilowait.core.jobs import Job, Prediction
from kilowait.simulate.loop import simulate
from kilowait.simulate.run import Submission


def job(job_id, submit_s=0, gpus=1, gpus_by_type=None, seen=None, user=None, priority=0, checkpoint_s=None, **by_type):
    """job("j", A=(10, 2)): 10 s and 2 kWh on A; `seen` is what the policy sees where it differs."""

    def table(numbers):
        return {t: Prediction(runtime_s=s, energy_kwh=kwh) for t, (s, kwh) in numbers.items()}

    what = Job(
        job_id=job_id,
        submit_s=submit_s,
        gpus=gpus,
        gpus_by_type=gpus_by_type or {},
        user=user,
        priority=priority,
        checkpoint_s=checkpoint_s,
    )
    return Submission(job=what, truth=table(by_type), seen=table(seen or by_type))


def timeline(policy, inventory, *jobs):
    """(job, type, start, end) in the order decided."""
    return [(p.job_id, p.gpu_type, p.start_s, p.end_s) for p in simulate(jobs, inventory, policy).placements]


def attempts(policy, inventory, *jobs):
    """(job, attempt, type, start, end) in the order decided."""
    run = simulate(jobs, inventory, policy)
    return [(p.job_id, p.attempt, p.gpu_type, p.start_s, p.end_s) for p in run.placements]

"""A node with one GPU as a runner sees it, without Ray; and an attempt on it."""

from unittest.mock import Mock

from kilowait.core.submission import Attempt

ATTEMPT = Attempt(job_id="job-1", attempt=1, token=1, gpu_type="A100", gpu_milli=1000, where=(), placed_s=0.0)


def pretend_node(monkeypatch):
    """Whoever makes a runner in this process is on that node."""
    from serve.runner import preparing, runner

    ids = Mock(get_accelerator_ids=lambda: {"GPU": ["0"]})
    monkeypatch.setattr(runner.ray, "get_runtime_context", lambda: ids)
    monkeypatch.setattr(preparing, "gpus_of_this_node", lambda: 1.0)

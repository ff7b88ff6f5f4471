"""Advice with numbers that a test chooses, in place of a prediction."""

from kilowait.advise.advice import Advice, OnType
from kilowait.core.jobs import Prediction


def prediction(runtime_s, low_s=None, high_s=None, energy_kwh=0.1):
    return Prediction(runtime_s=runtime_s, energy_kwh=energy_kwh, runtime_low_s=low_s, runtime_high_s=high_s)


def on_type(runtime_s, low_s=None, high_s=None, **more):
    """One type; `energy_kwh` goes into the prediction."""
    energy_kwh = more.pop("energy_kwh", 0.1)
    return OnType(prediction=prediction(runtime_s, low_s, high_s, energy_kwh), **more)


def advised(by_type=None, **more):
    """An A100 that takes 10 minutes (5 to 20), an A6000 that takes 20 (10 to 40), unless said otherwise."""
    by_type = by_type or {"A100": on_type(600, 300, 1200), "A6000": on_type(1200, 600, 2400)}
    given = {"program": "train.py", "content_hash": "ab" * 32, "gpus": 1, "gpu_types": None, **more}
    return Advice(by_type=by_type, **given)

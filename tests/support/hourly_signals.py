"""Signals with a value an hour."""

from kilowait.core.over_time.signals import Signal
from kilowait.core.units import HOUR_S


def hourly(*values, name="carbon", begins_h=0, **more):
    """hourly(400.0, 100.0): 400 g/kWh for the first hour, 100 in the second, and unknown from then on."""
    times_s = tuple(HOUR_S * (begins_h + k) for k in range(len(values)))
    return Signal(name=name, times_s=times_s, values=values, ends_s=times_s[-1] + HOUR_S, **more)

"""Units: what converts at the edges. Inside, times are seconds, powers watts, and energies joules or kWh by name."""

JOULES_PER_KWH = 3.6e6
"""Also watt-seconds in a kWh."""

HOUR_S = 3_600.0
"""Seconds of an hour."""

DAY_S = 24 * HOUR_S
"""Seconds of a day."""

WHOLE = 1000
"""Thousandths of a board that make a whole one; shares are in thousandths, as in openb's `gpu_milli`."""
